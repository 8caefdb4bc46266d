-- Door 2 with Lua: the site judges the call; this refuses what the site is never shown,
-- and ends the call together with its session.

local config = require "backoffice.config"
local head = require "backoffice.head"
local passage = require "backoffice.passage"
local record = require "backoffice.record"
local refusals = require "backoffice.refusals"
local routes = require "backoffice.routes"
local site = require "backoffice.site"
local watch = require "backoffice.watch"

local var = ngx.var
local LIVE_SECONDS = 1

local _M = {}
local cookie

function _M.start(path)
    local rules = config.load(path)
    cookie = rules.gate.cookie
    site.start(rules.door)
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

-- In rewrite_by_lua, before the site is asked.
function _M.look()
    local flaw = head.look(var.request, tonumber(var.request_length))
    if flaw then return refusals.answer(flaw) end
end

-- In access_by_lua, which comes after auth_request. A yes of the site to what this door
-- would not find again is none.
function _M.access(name)
    local route, key = routes.by_name[name], record.key_in(var.http_cookie or "", cookie)
    if not route or not key then return ngx.exit(401) end
    local length = tonumber(var.request_length)
    local _, _, connection_lines = head.look(var.request, length)
    return passage.begin(route, key, var.gate_upgrade ~= "", length, connection_lines)
end

return _M
