-- What becomes of a call that has passed the gate, at both doors with Lua.

require "backoffice.answers"
local cookies = require "backoffice.cookies"
local hops = require "backoffice.hops"
local refusals = require "backoffice.refusals"
local watch = require "backoffice.watch"

local var, get_method = ngx.var, ngx.req.get_method

local _M = {}

-- Answers the call itself when that goes no further. Otherwise it ends with the session of
-- this key, and after its route's time, which a WebSocket does not have. `length` is that
-- of its head; `connection_lines` as head.look has it.
function _M.begin(route, key, is_websocket, length, connection_lines)
    if length > route.max_header then return refusals.answer("header-too-large") end
    hops.end_here(connection_lines)
    if get_method() == "OPTIONS" and hops.is_last() then return refusals.last_hop(route) end
    if route.cookies[1] then var.gate_cookies = cookies.to_upstream(var.http_cookie, route) end
    watch.follow(key, not is_websocket and route.timeouts.total or nil)
end

return _M
