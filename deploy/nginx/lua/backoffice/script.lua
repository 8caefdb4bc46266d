-- Door 3: may this request pass? backoffice/proxy/gate.py once more, with the same
-- steps in the same order, and the same answers. No Python is asked on the way.

local config = require "backoffice.config"
local fence = require "backoffice.fence"
local head = require "backoffice.head"
local hosts = require "backoffice.hosts"
local identity = require "backoffice.identity"
local passage = require "backoffice.passage"
local paths = require "backoffice.paths"
local record = require "backoffice.record"
local refusals = require "backoffice.refusals"
local routes = require "backoffice.routes"
local session = require "backoffice.session"
local site = require "backoffice.site"
local store = require "backoffice.store"
local watch = require "backoffice.watch"

local var, get_method, value = ngx.var, ngx.req.get_method, head.value
local find, lower, sub = string.find, string.lower, string.sub
local byte, match = string.byte, string.match

local _M = {}
local cookie, proof_value, code

-- Reads the rules; in init_by_lua, so that a mistake stops the start.
function _M.start(path)
    local rules = config.load(path)
    cookie, proof_value = rules.gate.cookie, rules.gate.proof.value
    code = {}
    for _, destination in ipairs(rules.gate.code_destinations) do code[destination] = true end
    site.start(rules.door)
    store.start(rules.door)
    record.start(rules.door)
    session.start(rules.door, cookie)
    paths.start(rules.door)
    hosts.start(rules)
    routes.start(rules)
    identity.start(rules)
    refusals.start(rules)
end

-- The target as it stood on the request line, less the host of an absolute one. Nil when
-- that host is another than the one in the Host field: $request_uri would hide it.
local function target(request, host)
    local first = find(request, " ", 1, true)
    local last = find(request, " ", first + 1, true) or #request + 1
    local found = sub(request, first + 1, last - 1)
    if byte(found) == 47 then return found end
    local named, rest = match(found, "^[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)(.*)$")
    if not named or lower(named) ~= lower(host) then return nil end
    return rest == "" and "/" or rest
end

local function wants_websocket(upgrade)
    for word in string.gmatch(lower(upgrade), "[^,]+") do
        if match(word, "^%s*(.-)%s*$") == "websocket" then return true end
    end
    return false
end

-- A browser gives one word; two would be in no list of ours (gate.py).
local function has_comma(text)
    return find(text, ",", 1, true) ~= nil
end

local function is_our_page(origin, from_site, host)
    if not origin and not from_site then return false end
    if origin and not hosts.is_own_origin(origin, var.scheme, host) then return false end
    return not from_site or from_site == "same-origin"
end

-- Forgery from another site, for reads and for writes.
local function foreign(method, host, upgrade, marks)
    local from_site = value("sec-fetch-site", marks)
    if not routes.is_safe(method) then
        if value("x-backoffice", marks) ~= proof_value
            or not is_our_page(value("origin", marks), from_site, host) then
            return "no-proof"
        end
    elseif upgrade then
        local origin = value("origin", marks)
        if not origin or not is_our_page(origin, from_site, host) then return "no-proof" end
    elseif from_site and (from_site == "cross-site" or has_comma(from_site)) then
        return "cross-site"
    end
end

-- Whether a browser would run or apply the answer.
local function is_code(marks)
    if value("service-worker", marks) then return true end
    local destination = value("sec-fetch-dest", marks)
    return destination and (code[destination] or has_comma(destination))
end

-- The record and the route of a call that may pass; else nil, the word of the refusal
-- and the route that it is about.
local function judge(chosen, request, has_one_cookie, marks)
    local host = var.http_host
    if not host or not hosts.is_served(host) then return nil, "bad-host" end
    local raw = target(request, host)
    local path = raw and paths.read(raw)
    if not path then return nil, "bad-path" end

    -- No browser sends two lines (RFC 6265, 5.4), and readers join them in different ways.
    local key = has_one_cookie and record.key_in(var.http_cookie, cookie)
    if not key then return nil, "no-session" end
    local found, unknown = session.live(key)
    if not found then return nil, unknown and "store-down" or "no-session" end

    local route, doubtful = routes.match(path)
    if doubtful then return nil, "bad-path" end
    if not route then return nil, "no-route" end
    local method = get_method()
    local word = routes.refusal(route, method, found.profile)
    if word then return nil, word, route end
    local upgrade = value("upgrade", marks)
    upgrade = upgrade and wants_websocket(upgrade)
    word = foreign(method, host, upgrade, marks)
    if word then return nil, word end
    if is_code(marks) then return nil, "no-script" end
    -- nginx chose the upstream by the path as it decoded it.
    if chosen and route.name ~= chosen then return nil, "bad-path" end
    return found, route, key, upgrade
end

function _M.start_worker()
    fence.start_worker(store.identity)
    watch.start(session.live)
end

-- Answers a call whose body nginx has refused for its length.
function _M.too_large()
    local request = var.request
    local flaw, has_one_cookie, marks = head.look(request, tonumber(var.request_length))
    if flaw then return refusals.answer(flaw) end
    local found, word, route = judge(nil, request, has_one_cookie, marks)
    return refusals.answer(found and "body-too-large" or word, not found and route or nil)
end

-- Lets the request pass on to the upstream of the route of this name, which is the one
-- nginx has chosen, or answers it. Every failure denies, also those that nobody thought of
-- (ASVS 16.5.3): nginx makes a 500 of an error, and server.conf our answer of that. A
-- pcall would do the same, but what comes after it is never made machine code.
function _M.access(name)
    local request, length = var.request, tonumber(var.request_length)
    local flaw, has_one_cookie, marks = head.look(request, length)
    if flaw then return refusals.answer(flaw) end
    local found, route, key, upgrade = judge(name, request, has_one_cookie, marks)
    if not found then return refusals.answer(route, key) end
    if route.identity == "headers" then
        var.staff_session = identity.fields(found)
    elseif route.identity == "token" then
        var.staff_token = identity.token(found, route.audience)
    end
    -- Another word beside it, and nginx takes up no WebSocket.
    local is_websocket = upgrade and var.gate_upgrade ~= ""
    return passage.begin(route, key, is_websocket, length - #request, marks)
end

return _M
