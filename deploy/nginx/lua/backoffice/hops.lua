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

-- Takes away what these lines of Connection name (RFC 9110, 7.6.1). Fields of ours are set
-- later, so none can be taken that way.
function _M.end_here(lines)
    if lines == 0 or lines == 1 and plain[lower(var.http_connection)] then return end
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

return _M
