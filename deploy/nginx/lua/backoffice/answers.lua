-- What of an upstream's answer nginx's own directives let pass and the gate does not:
-- proxy/answer_head.py and proxy/headers.py once more. In header_filter_by_lua.

local cookies = require "backoffice.cookies"
local routes = require "backoffice.routes"

local var, header, exit, get_headers = ngx.var, ngx.header, ngx.exit, ngx.resp.get_headers
local log, WARN = ngx.log, ngx.WARN
local lower, gsub, gmatch, tonumber, pairs = string.lower, string.gsub, string.gmatch, tonumber, pairs

-- No status of HTTP: nginx knows what to do at it (lua-route.conf).
local BAD_RESPONSE = 599
-- What upstreams say all the time, and what is seen to elsewhere.
local PLAIN = {
    close = true, ["keep-alive"] = true, upgrade = true, connection = true,
    ["transfer-encoding"] = true, ["set-cookie"] = true,
}

local _M = {}

-- nginx passes an answer of 1xx on as if it were the last one; what comes behind it, the
-- real one's head included, would be its body.
local function is_final(status)
    return status >= 200 or status == 101 and var.gate_upgrade ~= ""
end

-- Of several lengths nginx goes by the last one, of a length and chunks by the chunks, and
-- knows nothing of other codings (RFC 9112, 6.3).
local function has_one_length()
    local said, coding = var.upstream_http_content_length, var.upstream_http_transfer_encoding
    if coding then return not said and lower(coding) == "chunked" end
    if not said then return true end
    local length = tonumber(said)
    return length ~= nil and length == tonumber(header["Content-Length"])
end

local function canonical(name)
    return (gsub(lower(name), "_", "-"))
end

-- Takes away what Connection names. Fields of ours are set later, so none can be taken
-- that way.
local function end_here(named)
    local gone = {}
    for name in gmatch(named, "[^%s,]+") do gone[canonical(name)] = true end
    for name in pairs(get_headers(0, true)) do
        local known = canonical(name)
        if gone[known] and not PLAIN[known] then header[name] = nil end
    end
end

-- Makes it a 502 that closes the client's connection. Why goes to the log: an upstream that
-- sends 103 Early Hints works elsewhere, and nobody else would tell its owner.
local function refuse(status, why)
    log(WARN, "upstream_refused because=", why, " status=", status)
    return exit(BAD_RESPONSE)
end

-- Cuts an answer without a status line: nginx takes it for HTTP/0.9, would pass it on as it
-- is, past every rule about fields, and can give no other any more.
function _M.clean()
    local status = ngx.status
    if status < 100 then return exit(ngx.ERROR) end
    if not is_final(status) then return refuse(status, "interim") end
    if not has_one_length() then return refuse(status, "framing") end
    local named = var.upstream_http_connection
    if named and not PLAIN[lower(named)] then end_here(named) end
end

-- The same for a route that lets its upstream have cookies.
function _M.clean_with_cookies(name)
    header["Set-Cookie"] = cookies.to_browser(header["Set-Cookie"], routes.by_name[name])
    return _M.clean()
end

return _M
