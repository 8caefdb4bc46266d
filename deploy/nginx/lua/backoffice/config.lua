-- What `manage.py export_nginx` wrote, read once before the workers are started.

local cjson = require "cjson.safe"

local SCHEMA = 1

local _M = {}

local function read(path)
    local file, problem = io.open(path, "rb")
    if not file then error("backoffice: " .. problem, 0) end
    local text = file:read("*a")
    file:close()
    return text
end

local function bytes(hex)
    return (hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

-- What is null is absent: to Lua, cjson's null would be something.
local function without_nulls(found)
    for name, value in pairs(found) do
        if value == cjson.null then
            found[name] = nil
        elseif type(value) == "table" then
            without_nulls(value)
        end
    end
    return found
end

-- The rules in the file; a door that cannot know them does not open.
function _M.load(path)
    local rules, problem = cjson.decode(read(path))
    if not rules then error("backoffice: " .. path .. ": " .. problem, 0) end
    if rules.schema ~= SCHEMA or not rules.door then
        error("backoffice: " .. path .. " was not written for this version of the "
            .. "script: run manage.py export_nginx again", 0)
    end
    without_nulls(rules)
    for _, secret in ipairs(rules.door.secrets or {}) do
        secret.names, secret.seal = bytes(secret.names), bytes(secret.seal)
        secret.id, secret.sign = bytes(secret.id), bytes(secret.sign)
    end
    return rules
end

return _M
