-- What the site says to a call, asked in rounds: backoffice/proxy/check_rounds.py.

local cjson = require "cjson.safe"
local rounds = require "backoffice.rounds"
local site = require "backoffice.site"

local tcp, log = ngx.socket.tcp, ngx.log
local concat, lower, match, find = table.concat, string.lower, string.match, string.find
local tonumber, type = tonumber, type

local CONNECT_MS, SEND_MS, READ_MS, WAIT_SECONDS = 500, 500, 1000, 1.5
-- The site has many processes. One at a time is asked, for that is the least work, but
-- where so many calls wait, others as well.
local MOST_CALLS, FULL, LANES = 32, 16, 8
-- The site takes no longer body than twice this (DATA_UPLOAD_MAX_MEMORY_SIZE).
local MOST_BYTES = 128 * 1024
local MOST_TRIES = 3
-- How a connection ends that the site closed while it lay idle.
local GONE = { closed = true, ["broken pipe"] = true, ["connection reset by peer"] = true }

local _M = {}
local first_lines, ask, tickets

function _M.start()
    tickets = 0
    first_lines = "POST /gate/checks HTTP/1.1\r\nHost: " .. site.name .. "\r\nContent-Length: "
    ask = rounds.new {
        carry = _M.carry, fail = _M.fail, seconds = WAIT_SECONDS,
        most = MOST_CALLS, most_bytes = MOST_BYTES, lanes = LANES, full = FULL,
    }
end

local function connect()
    local sock = tcp()
    sock:settimeouts(CONNECT_MS, SEND_MS, READ_MS)
    local connected, problem = sock:connect(site.host, site.port)
    if not connected then return nil, problem end
    return { sock = sock, is_used = sock:getreusedtimes() > 0 }
end

-- Puts the site's answer into the round; a problem when it is none. The second result is
-- true when the connection ends with it.
local function exchange(sock, round)
    tickets = tickets + 1
    local ticket = ngx.worker.pid() .. "." .. tickets
    local body = '{"ticket":"' .. ticket .. '","calls":[' .. concat(round.questions, ",") .. "]}"
    local sent, problem = sock:send({ first_lines, #body, "\r\n\r\n", body })
    if not sent then return problem end
    local head
    head, problem = sock:receiveuntil("\r\n\r\n")()
    if not head then return problem end
    head = lower(head)
    local length = tonumber(match(head, "\r\ncontent%-length: (%d+)"))
    if not length or not find(head, "^http/1%.1 200 ") then return "no answer" end
    local text
    text, problem = sock:receive(length)
    if not text then return problem end
    local answer = cjson.decode(text)
    -- One that was meant for another round would be somebody else's yes.
    if type(answer) ~= "table" or answer.ticket ~= ticket or #answer.verdicts ~= round.size then
        return "nonsense"
    end
    round.verdicts = answer.verdicts
    return nil, find(head, "\r\nconnection: close", 1, true) ~= nil
end

function _M.fail(problem)
    log(ngx.WARN, "site_unavailable cause=", problem)
end

-- Asks about the calls of a round over this link, or a new one, and gives the link for the
-- next. To ask twice changes nothing.
function _M.carry(round, link)
    local problem, is_last
    for _ = 1, MOST_TRIES do
        if not link then link, problem = connect() end
        if not link then break end
        problem, is_last = exchange(link.sock, round)
        if not problem and not is_last then
            link.is_used = true
            return link
        end
        link.sock:close()
        if not problem then return nil end
        if not link.is_used or not GONE[problem] then break end
        link = nil
    end
    _M.fail(problem)
    return nil
end

-- The site's word about this call, an object with its variables; nil when it has none.
function _M.verdict(call)
    local round, before = ask({ cjson.encode(call) })
    local verdict = round.verdicts and round.verdicts[before + 1]
    return type(verdict) == "table" and verdict or nil
end

return _M
