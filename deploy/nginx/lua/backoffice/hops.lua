-- What a call says about its own way: fields for us alone, and how far it may go.
-- `marks` are those of head.look.

local head = require "backoffice.head"

local req, get_method = ngx.req, ngx.req.get_method
local lower, gmatch, find = string.lower, string.gmatch, string.find
local tonumber, format, max = tonumber, string.format, math.max

local _M = {}
-- What clients say all the time, and what is seen to elsewhere. Without its length a body
-- would be read as the next request.
local plain = {
    close = true, ["keep-alive"] = true, upgrade = true, host = true, connection = true,
    ["content-length"] = true, ["transfer-encoding"] = true, expect = true,
}

-- Takes away what Connection names (RFC 9110, 7.6.1). Fields of ours are set later, so
-- none can be taken that way.
function _M.end_here(marks)
    local named = head.value("connection", marks)
    if not named or plain[lower(named)] then return end
    for name in gmatch(named, "[^%s,]+") do
        if not plain[lower(name)] then req.clear_header(name) end
    end
end

-- Who signed before us (7.6.3) stands in one line from here on: nginx signs after the
-- first, and loses the others.
function _M.join_way(marks)
    if head.is_odd("via", marks) then req.set_header("Via", head.value("via", marks)) end
end

-- Counts one hop (7.6.2); true when a call of OPTIONS ends at this one. As
-- proxy/headers.py: up to nine digits.
function _M.is_last(marks)
    local left = head.value("max-forwards", marks)
    if not left or #left > 9 or not find(left, "^%d+$") then return false end
    local hops = tonumber(left)
    if hops == 0 and get_method() == "OPTIONS" then return true end
    req.set_header("Max-Forwards", format("%d", max(0, hops - 1)))
    return false
end

return _M
