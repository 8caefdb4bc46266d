-- Door 2 with Lua: the site judges the call; this refuses what the site is never shown,
-- and ends the call together with its session.

local checks = require "backoffice.checks"
local config = require "backoffice.config"
local head = require "backoffice.head"
local passage = require "backoffice.passage"
local record = require "backoffice.record"
local refusals = require "backoffice.refusals"
local routes = require "backoffice.routes"
local site = require "backoffice.site"
local watch = require "backoffice.watch"

local var, get_method, value = ngx.var, ngx.req.get_method, head.value
local gsub, lower, upper, ipairs = string.gsub, string.lower, string.upper, ipairs
local LIVE_SECONDS = 1

local _M = {}
local cookie, judged

function _M.start(path)
    local rules = config.load(path)
    cookie, judged = rules.gate.cookie, {}
    for place, name in ipairs(rules.gate.judged_headers) do
        judged[place] = { name = lower(name), variable = "HTTP_" .. gsub(upper(name), "-", "_") }
    end
    site.start(rules.door)
    checks.start()
    routes.start(rules)
    refusals.start(rules)
end

local function is_live(key)
    local status = site.call("POST", "/gate/live", { Cookie = cookie .. "=" .. key }, LIVE_SECONDS)
    return status == 204 or nil, status ~= 204 and status ~= 401
end

function _M.start_worker()
    watch.start(is_live)
end

-- The site's word about this call; the arguments as head.look has them.
local function verdict(has_one_cookie, marks)
    local call = {
        REQUEST_METHOD = get_method(),
        RAW_URI = var.gate_target,
        ["wsgi.url_scheme"] = var.scheme,
        HTTP_HOST = var.http_host,
        -- No browser sends two lines (RFC 6265, 5.4), and readers join them in different ways.
        HTTP_COOKIE = has_one_cookie and var.http_cookie or nil,
        HTTP_X_FORWARDED_FOR = var.remote_addr,
        HTTP_X_REQUEST_ID = var.request_id,
    }
    for _, field in ipairs(judged) do call[field.variable] = value(field.name, marks) end
    return checks.verdict(call) or { word = "store-down" }
end

-- Answers a call whose body nginx has refused for its length.
function _M.too_large()
    local flaw, has_one_cookie, marks = head.look(var.request, tonumber(var.request_length))
    if flaw then return refusals.answer(flaw) end
    local found = verdict(has_one_cookie, marks)
    return refusals.answer(found.word or "body-too-large", found)
end

-- Lets the request pass on to the upstream of the route of this name, which is the one
-- nginx has chosen, or answers it.
function _M.access(name)
    local request, length = var.request, tonumber(var.request_length)
    local flaw, has_one_cookie, marks = head.look(request, length)
    if flaw then return refusals.answer(flaw) end
    local found = verdict(has_one_cookie, marks)
    if found.word then return refusals.answer(found.word, found) end
    -- A yes of the site to what this door would not find again is none.
    local route, key = routes.by_name[name], record.key_in(var.http_cookie or "", cookie)
    if not route or found.route ~= name or not key then return refusals.answer("bad-path") end
    var.staff_session, var.staff_token = found.session, found.token
    return passage.begin(route, key, var.gate_upgrade ~= "", length - #request, marks)
end

return _M
