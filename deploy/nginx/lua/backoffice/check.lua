-- Door 2 with Lua: the site has judged the call; this ends it together with its session.

local config = require "backoffice.config"
local hops = require "backoffice.hops"
local record = require "backoffice.record"
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
end

local function is_live(key)
    local status = site.call("POST", "/gate/live", { Cookie = cookie .. "=" .. key }, LIVE_SECONDS)
    return status == 204 or nil, status ~= 204 and status ~= 401
end

function _M.start_worker()
    watch.start(is_live)
end

-- In access_by_lua, which comes after auth_request. A yes of the site to what this door
-- would not find again is none.
function _M.access(name)
    local route, key = routes.by_name[name], record.key_in(var.http_cookie or "", cookie)
    if not route or not key then return ngx.exit(401) end
    hops.end_here()
    watch.follow(key, var.gate_upgrade == "" and route.timeouts.total or nil)
end

return _M
