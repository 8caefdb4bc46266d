-- Which route a path names, and who may use it how: proxy/routes.py once more.

local paths = require "backoffice.paths"

local sub, byte, ipairs = string.sub, string.byte, ipairs

local _M = { by_name = {} }
local by_first, safe

local function set_of(list)
    local set = {}
    for _, name in ipairs(list) do set[name] = true end
    return set
end

function _M.start(rules)
    by_first, safe = {}, set_of(rules.gate.safe_methods)
    -- The longest prefixes come first, as they were exported.
    for _, route in ipairs(rules.routes) do
        local first = string.match(route.prefix, "^[^/]+")
        by_first[first] = by_first[first] or {}
        table.insert(by_first[first], route)
        _M.by_name[route.name] = route
        route.allow = table.concat(route.methods, ", ")
        route.takes = set_of(route.methods)
        route.takes_cookie = set_of(route.cookies)
    end
end

local function lies_below(prefix, target)
    if sub(target, 1, #prefix) ~= prefix then return false end
    local after = byte(target, #prefix + 1)
    return after == nil or after == 47
end

local function named_by(candidates, target)
    for _, route in ipairs(candidates) do
        if lies_below(route.prefix, target) then return route end
    end
end

local function match(below, first)
    local candidates = by_first[first]
    if not candidates then return nil end
    local route = named_by(candidates, below)
    if route and #candidates > 1 then
        for _, reading in ipairs(paths.folded(below)) do
            if named_by(candidates, reading) ~= route then return nil, true end
        end
    end
    return route
end

-- The route with the longest prefix of this path (paths.read); nil when there is none;
-- nil and true when another spelling of the same path has another route.
function _M.match(path)
    if path.is_matched == nil then
        path.route, path.is_doubtful = match(path.below, path.first)
        path.is_matched = true
    end
    return path.route, path.is_doubtful
end

local function belongs(groups, wanted)
    if #wanted == 0 then return true end
    for _, group in ipairs(wanted) do
        if groups[group] then return true end
    end
    return false
end

-- The word of a refusal, or nil when this person may use this method here.
function _M.refusal(route, method, profile)
    if not route.takes[method] then return "no-method" end
    local groups = profile.group_set
    if not groups then
        groups = set_of(profile.groups)
        profile.group_set = groups
    end
    if not belongs(groups, route.groups) then return "not-allowed" end
    if not safe[method] and not belongs(groups, route.write_groups) then return "not-allowed" end
    return nil
end

function _M.is_safe(method)
    return safe[method]
end

return _M
