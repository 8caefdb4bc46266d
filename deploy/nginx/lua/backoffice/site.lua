-- Errands to the site's own web server, for what a script in nginx cannot do: read SQL,
-- and write to the store. Never while a request waits for more than a moment.

local cjson = require "cjson.safe"

local tcp, fmt = ngx.socket.tcp, string.format

local _M = {}

function _M.start(door)
    _M.host, _M.port, _M.name = door.site.host, door.site.port, door.site.name
end

-- Status, body of a call; nil and a problem when there was no answer within `seconds`.
function _M.call(method, path, fields, seconds)
    local sock = tcp()
    sock:settimeout(seconds * 1000)
    local connected, problem = sock:connect(_M.host, _M.port)
    if not connected then return nil, problem end
    -- HTTP/1.0: an answer of one piece, and the connection ends with it.
    local head = fmt("%s %s HTTP/1.0\r\nHost: %s\r\nContent-Length: 0\r\n",
        method, path, _M.name)
    for name, value in pairs(fields or {}) do head = head .. name .. ": " .. value .. "\r\n" end
    local sent
    sent, problem = sock:send(head .. "\r\n")
    if not sent then return nil, problem end
    local answer, _, rest = sock:receive("*a")
    sock:close()
    answer = answer or rest or ""
    local status = tonumber(answer:match("^HTTP/1%.%d (%d%d%d)"))
    if not status then return nil, "no answer" end
    return status, cjson.decode(answer:match("\r\n\r\n(.*)$") or "")
end

return _M
