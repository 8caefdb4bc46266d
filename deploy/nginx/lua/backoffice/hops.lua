-- What a call says about its own way: fields for us alone, and how far it may go.

local var, req = ngx.var, ngx.req
local lower, gmatch, type, tonumber = string.lower, string.gmatch, type, tonumber

local _M = {}
-- What clients say all the time, and what is seen to elsewhere. Without its length a body
-- would be read as the next request.
local plain = {
    close = true, ["keep-alive"] = true, upgrade = true, host = true, connection = true,
    ["content-length"] = true, ["transfer-encoding"] = true, expect = true,
}

-- Takes away what the Connection field names (RFC 9110, 7.6.1). Fields of ours are set
-- later, so none can be taken that way.
function _M.end_here()
    local named = var.http_connection
    if not named or plain[lower(named)] then return end
    local every = req.get_headers().connection
    if type(every) == "table" then every = table.concat(every, ",") end
    for name in gmatch(every or "", "[^%s,]+") do
        if not plain[lower(name)] then req.clear_header(name) end
    end
end

-- Counts one hop of a call of OPTIONS; true when this is the last one (7.6.2).
function _M.is_last()
    local left = var.http_max_forwards
    if not left or not string.find(left, "^%d+$") then return false end
    if tonumber(left) == 0 then return true end
    req.set_header("Max-Forwards", string.format("%d", tonumber(left) - 1))
    return false
end

-- In header_filter_by_lua. What an upstream says without a status line is HTTP/0.9 to
-- nginx: it would pass as it is, past every rule about fields, and a browser might find
-- a head of its own in it.
function _M.need_a_head()
    if req.http_version() < 1 then return ngx.exit(ngx.ERROR) end
end

return _M
