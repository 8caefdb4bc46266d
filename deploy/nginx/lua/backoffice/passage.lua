-- What becomes of a call that has passed the gate, at both doors with Lua.

require "backoffice.answers"
local cookies = require "backoffice.cookies"
local hops = require "backoffice.hops"
local refusals = require "backoffice.refusals"
local watch = require "backoffice.watch"

local var = ngx.var

local _M = {}

-- Answers the call itself when that goes no further. Otherwise it ends with the session of
-- this key, and after its route's time, which a WebSocket does not have. `length` is that
-- of its fields; `marks` as head.look has them.
function _M.begin(route, key, is_websocket, length, marks)
    if length > route.max_header then return refusals.answer("header-too-large") end
    hops.end_here(marks)
    hops.join_way(marks)
    if hops.is_last(marks) then return refusals.last_hop(route) end
    if route.cookies[1] then var.gate_cookies = cookies.to_upstream(var.http_cookie, route) end
    watch.follow(key, not is_websocket and route.timeouts.total or nil)
end

return _M
