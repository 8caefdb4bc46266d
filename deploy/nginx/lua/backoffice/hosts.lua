-- Which hosts are served (ALLOWED_HOSTS, with Django's rules), and which origins are
-- ours.

local lower, match, sub, find, ipairs = string.lower, string.match, string.sub, string.find, ipairs

local KEPT, MOST_KEPT_BYTES = 1000, 256
local PORTS = { http = "80", https = "443" }

local _M = {}
local patterns, own, verdicts, count

function _M.start(rules)
    patterns, own = rules.gate.hosts, rules.gate.origin
    verdicts, count = {}, 0
end

-- Name and port; nil for what is no host (RFC 9110, 7.2).
local function parts(host)
    local name, port = match(host, "^(%[[%x:%.]+%])(:?%d*)$")
    if not name then name, port = match(host, "^([%w_%.%-]+)(:?%d*)$") end
    if not name or port ~= "" and not find(port, "^:%d+$") then return nil end
    return lower(name), sub(port, 2)
end

local function allows(pattern, name)
    if pattern == "*" or pattern == name then return true end
    return sub(pattern, 1, 1) == "."
        and (sub(name, -#pattern) == pattern or name == sub(pattern, 2))
end

local function judge(host)
    local name = parts(host)
    if not name then return false end
    name = match(name, "^(.-)%.?$")
    for _, pattern in ipairs(patterns) do
        if allows(lower(pattern), name) then return true end
    end
    return false
end

function _M.is_served(host)
    local verdict = verdicts[host]
    if verdict == nil then
        verdict = judge(host)
        -- A pattern such as .example.com takes names of any length.
        if #host > MOST_KEPT_BYTES then return verdict end
        if count >= KEPT then verdicts, count = {}, 0 end
        verdicts[host], count = verdict, count + 1
    end
    return verdict
end

-- Whether a browser would write this origin of a page of ours (RFC 6454, 6.2).
function _M.is_own_origin(origin, scheme, host)
    if origin == own then return true end
    local name, port = parts(host)
    if not name then return false end
    if port ~= "" and port ~= PORTS[scheme] then name = name .. ":" .. port end
    return origin == scheme .. "://" .. name
end

return _M
