-- Cookies of an upstream, for the routes that let it have some: proxy/cookies.py once more,
-- which says why each goes under a name and a path of its own.

local find, match, sub, lower = string.find, string.match, string.sub, string.lower
local gmatch, ipairs, type, concat = string.gmatch, ipairs, type, table.concat

-- A closing bracket stands for itself only in the first place.
local VALUE = "^[]-~!#-+--:<-[]*$"
local MOST_BYTES, MOST_DIGITS = 4096, 10

local _M = {}

-- Name and value, and whether anything stood between them.
local function pair_in(text)
    local name, mark, value = match(match(text, "^[ \t]*(.-)[ \t]*$"), "^([^=]*)(=?)(.*)$")
    return name, value, mark ~= ""
end

local function is_allowed(route, name, value)
    return route.takes_cookie[name] and find(value, VALUE)
end

local function life(attributes)
    for attribute in gmatch(attributes, "[^;]+") do
        local name, value = pair_in(attribute)
        name, value = match(name, "^(.-)[ \t]*$"), match(value, "^[ \t]*(.*)$")
        local digits = lower(name) == "max-age" and match(value, "^%-?(%d+)$")
        if digits and #digits <= MOST_DIGITS then return "; Max-Age=" .. value end
    end
    return ""
end

-- The Set-Cookie values to pass on: `received` is one, several or nil.
function _M.to_browser(received, route)
    local kept = {}
    for _, line in ipairs(type(received) == "table" and received or { received }) do
        local first, attributes = match(line, "^([^;]*)(.*)$")
        local name, value, has_mark = pair_in(first)
        if has_mark and is_allowed(route, name, value) then
            local cookie = route.cookie_lead .. name .. "=" .. value .. life(attributes)
                .. "; " .. route.cookie_end
            if #cookie <= MOST_BYTES then kept[#kept + 1] = cookie end
        end
    end
    return kept
end

-- The Cookie field for the upstream, "" for none.
function _M.to_upstream(sent, route)
    local found, names, lead = {}, {}, route.cookie_lead
    for part in gmatch(sent, "[^;]+") do
        local name, value = pair_in(part)
        local own = sub(name, #lead + 1)
        if sub(name, 1, #lead) == lead and is_allowed(route, own, value) then
            if found[own] == nil then names[#names + 1] = own end
            -- Of two with one name both are left out.
            found[own] = found[own] == nil and own .. "=" .. value
        end
    end
    local kept = {}
    for _, own in ipairs(names) do kept[#kept + 1] = found[own] or nil end
    return concat(kept, "; ")
end

return _M
