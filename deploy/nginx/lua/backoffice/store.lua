-- The question to the store: one round trip, and no answer but to this very question.
--
-- Speaks RESP2 (the protocol of Redis 7.0 and Valkey 8) itself, as little of it as is
-- needed: one script and its answer. The store user of this door needs no right to
-- write. Whatever goes wrong is an outage: it lowers the fence, and the connection is
-- closed so that nobody gets what may still come over it.

local fence = require "backoffice.fence"

local tcp = ngx.socket.tcp
local byte, sub, find, format, match = string.byte, string.sub, string.find, string.format, string.match
local tonumber, concat, ipairs = tonumber, table.concat, ipairs
local prefix = ngx.worker.pid

local POOL, IDLE_MS = 128, 60000
-- ticket, the store's expiry, the cut-off, the value; one text is one read on our side.
local LOAD = [[
local value = redis.call('GET', KEYS[1])
return ARGV[1] .. ' ' .. string.format('%.0f', redis.call('PEXPIRETIME', KEYS[1])) .. ' '
  .. (redis.call('GET', KEYS[2]) or '0') .. ' ' .. (value or '')
]]

local _M = {}
local config, greeting, greetings, by_name, tickets, pool_name

local function command(...)
    local parts = { "*" .. select("#", ...) }
    for _, part in ipairs({ ... }) do
        parts[#parts + 1] = "$" .. #part
        parts[#parts + 1] = part
    end
    return concat(parts, "\r\n") .. "\r\n"
end

function _M.start(settings)
    config, tickets = settings.store, 0
    local steps = {}
    if config.password then
        steps[1] = config.user and command("AUTH", config.user, config.password)
            or command("AUTH", config.password)
    end
    if config.db and config.db > 0 then
        steps[#steps + 1] = command("SELECT", tostring(config.db))
    end
    greetings = #steps
    greeting = concat(steps) .. command("INFO", "server")
    local name = ngx.sha1_bin(LOAD):gsub(".", function(sign)
        return format("%02x", byte(sign))
    end)
    by_name = "*6\r\n$10\r\nEVALSHA_RO\r\n$40\r\n" .. name
    pool_name = "backoffice-store:"
end

local function question(how, id, ticket)
    return how .. "\r\n$1\r\n2\r\n$33\r\nbo:{" .. sub(id, 1, 1) .. "}:s:" .. id
        .. "\r\n$13\r\nbo:{" .. sub(id, 1, 1) .. "}:cutoff\r\n$" .. #ticket .. "\r\n"
        .. ticket .. "\r\n"
end

-- One answer: a text, or nil and what is wrong with it.
local function text(sock)
    local line, problem = sock:receive()
    if not line then return nil, problem end
    local kind = byte(line)
    if kind == 36 then
        local size = tonumber(sub(line, 2))
        if not size or size < 0 or size > 1024 * 1024 then return nil, "nonsense" end
        local found
        found, problem = sock:receive(size + 2)
        if not found then return nil, problem end
        return sub(found, 1, size)
    end
    if kind == 43 then return sub(line, 2) end
    if kind == 45 then return nil, sub(line, 2) end
    return nil, "nonsense"
end

-- Greets a new connection: who are you? A server that will not say cannot be fenced.
local function greet(sock)
    local sent, problem = sock:send(greeting)
    if not sent then return nil, problem end
    for _ = 1, greetings do
        local fine
        fine, problem = text(sock)
        if fine ~= "OK" then return nil, problem or "not welcome" end
    end
    local facts
    facts, problem = text(sock)
    if not facts then return nil, problem end
    if match(facts, "_mode:cluster") then return nil, "a Cluster" end
    return match(facts, "run_id:(%x+)") or nil, "no run id"
end

-- A connection to the fenced store; nil and a problem. The third result is true when
-- the store answers and is another one than was fenced.
local function connect(run_id)
    local sock = tcp()
    sock:settimeouts(config.timeout_ms, config.timeout_ms, config.timeout_ms)
    local options = { pool = pool_name .. run_id, pool_size = POOL }
    local connected, problem
    if config.socket then
        connected, problem = sock:connect("unix:" .. config.socket, options)
    else
        connected, problem = sock:connect(config.host, config.port, options)
    end
    if not connected then return nil, problem end
    if sock:getreusedtimes() > 0 then return sock, true end
    if config.tls then
        local secure
        secure, problem = sock:sslhandshake(nil, config.host, true)
        if not secure then return nil, problem end
    end
    local found
    found, problem = greet(sock)
    if not found then
        sock:close()
        return nil, problem
    end
    if found ~= run_id then
        sock:close()
        return nil, "another run id", true
    end
    return sock, false
end

local function exchange(sock, ids)
    tickets = tickets + 1
    local ticket = prefix() .. "." .. tickets
    local asked = {}
    for place, id in ipairs(ids) do asked[place] = question(by_name, id, ticket) end
    local sent, problem = sock:send(#asked == 1 and asked[1] or concat(asked))
    if not sent then return nil, problem end
    local answers, missing = {}, false
    for place in ipairs(ids) do
        local answer
        answer, problem = text(sock)
        if not answer then
            -- An answer like any other: those to the other questions still follow.
            if not find(problem, "^NOSCRIPT") then return nil, problem end
            missing = true
        end
        answers[place] = answer
    end
    if missing then
        for place, id in ipairs(ids) do
            local whole = "*6\r\n$7\r\nEVAL_RO\r\n$" .. #LOAD .. "\r\n" .. LOAD
            sent, problem = sock:send(question(whole, id, ticket))
            if not sent then return nil, problem end
            answers[place], problem = text(sock)
            if not answers[place] then return nil, problem end
        end
    end
    for place, answer in ipairs(answers) do
        local found, expiry, cutoff, value = match(answer, "^(%S+) (%-?%d+) (%d+) (.*)$")
        if found ~= ticket then return nil, "nonsense" end
        answers[place] = { tonumber(expiry), tonumber(cutoff), value }
    end
    return answers
end

local function fail(problem)
    fence.lower()
    ngx.log(ngx.WARN, "store_unavailable cause=", problem)
    return nil
end

-- For each id what the store has: { expiry in ms, cut-off in ms, value or "" }. Nil when
-- the store cannot say, or may not be believed.
function _M.ask(ids)
    local again = false
    while true do
        local run_id = fence.standing() or fence.raise()
        if not run_id then return nil end
        local sock, reused, is_another = connect(run_id)
        if not sock then
            if is_another and not again then
                -- It restarted, failed over or was restored.
                fence.lower()
                again = true
            else
                return fail(reused)
            end
        else
            local answers, problem = exchange(sock, ids)
            if answers then
                sock:setkeepalive(IDLE_MS, POOL)
                return answers
            end
            sock:close()
            -- A connection that was closed while it lay idle: nothing was asked yet that
            -- could matter, and a new one tells whether it is still the same store.
            if reused and not again and (problem == "closed" or problem == "broken pipe") then
                fence.lower()
                again = true
            else
                return fail(problem)
            end
        end
    end
end

return _M
