-- The question to the store: one round trip, and no answer but to this very question.
--
-- Speaks RESP2 (the protocol of Redis 7.0 and Valkey 8) itself, as little of it as is
-- needed: four reads, sent and answered together. The store user of this door needs no
-- right to write. Whatever goes wrong is an outage: it lowers the fence, and the
-- connection is closed so that nobody gets what may still come over it.

local fence = require "backoffice.fence"

local tcp = ngx.socket.tcp
local byte, sub, find, match = string.byte, string.sub, string.find, string.match
local tonumber, concat, ipairs = tonumber, table.concat, ipairs

local POOL = 128
local MOST_BYTES = 128 * 1024
-- What follows the value when an answer came whole: nearly always.
local AFTER_VALUE = "^\r\n:(%-?%d+)\r\n%$%-?%d+\r\n(%d*)\r?\n?%$%d+\r\n(%S+)\r\n$"

local _M = {}
local config, greeting, greetings, tickets, prefix
local pools = {}

local function command(...)
    local parts = { "*" .. select("#", ...) }
    for _, part in ipairs({ ... }) do
        parts[#parts + 1] = "$" .. #part
        parts[#parts + 1] = part
    end
    return concat(parts, "\r\n") .. "\r\n"
end

function _M.start(door)
    config, tickets = door.store, 0
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
end

-- What is asked about one session: its value, when the store will forget it, and the
-- cut-off it is under. Not one moment but three, in the order in which each can only make
-- the answer stricter.
local function question(id, ticket)
    local shard = sub(id, 1, 1)
    local name = "$33\r\nbo:{" .. shard .. "}:s:" .. id .. "\r\n"
    return "*2\r\n$3\r\nGET\r\n" .. name
        .. "*2\r\n$11\r\nPEXPIRETIME\r\n" .. name
        .. "*2\r\n$3\r\nGET\r\n$13\r\nbo:{" .. shard .. "}:cutoff\r\n"
        .. "*2\r\n$4\r\nECHO\r\n$" .. #ticket .. "\r\n" .. ticket .. "\r\n"
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
    local options = pools[run_id]
    if not options then
        -- One pool for one store: a connection to another is never taken for it.
        options = { pool = "backoffice-store:" .. run_id, pool_size = POOL }
        pools = { [run_id] = options }
    end
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

-- Takes one text or number off what came, and asks for more when that is needed; "" is
-- what is absent. Gives it, all that came, and the place after it.
local function take(sock, data, place)
    local last = find(data, "\r\n", place, true)
    while not last do
        local piece, problem = sock:receiveany(MOST_BYTES)
        if not piece then return nil, problem end
        data = data .. piece
        last = find(data, "\r\n", place, true)
    end
    local kind, line = byte(data, place), sub(data, place + 1, last - 1)
    if kind == 58 then return line, data, last + 2 end
    if kind == 45 then return nil, line end
    local size = kind == 36 and tonumber(line)
    if not size or size > MOST_BYTES then return nil, "nonsense" end
    if size < 0 then return "", data, last + 2 end
    local from = last + 2
    while #data < from + size + 1 do
        local piece, problem = sock:receiveany(MOST_BYTES)
        if not piece then return nil, problem end
        data = data .. piece
    end
    return sub(data, from, from + size - 1), data, from + size + 2
end

-- The answer to one question that came whole, as nearly every answer does.
local function usual(data, ticket)
    local size, from = match(data, "^%$(%d+)\r\n()")
    if not size then return nil end
    local expiry, cutoff, echo = match(data, AFTER_VALUE, from + size)
    if echo ~= ticket then return nil end
    return { tonumber(expiry), tonumber(cutoff) or 0, sub(data, from, from + size - 1) }
end

-- For each id { expiry, cut-off, value }; nil and a problem.
local function exchange(sock, ids)
    tickets = tickets + 1
    prefix = prefix or ngx.worker.pid() .. "."
    local ticket = prefix .. tickets
    local asked = {}
    for place, id in ipairs(ids) do asked[place] = question(id, ticket) end
    local sent, problem = sock:send(#asked == 1 and asked[1] or concat(asked))
    if not sent then return nil, problem end
    local data
    data, problem = sock:receiveany(MOST_BYTES)
    if not data then return nil, problem end
    local only = #ids == 1 and usual(data, ticket)
    if only then return { only } end
    local answers, place = {}, 1
    for number in ipairs(ids) do
        local found = {}
        for part = 1, 4 do
            local text, rest, after = take(sock, data, place)
            if not text then return nil, rest end
            found[part], data, place = text, rest, after
        end
        local expiry = tonumber(found[2])
        local cutoff = found[3] == "" and 0 or tonumber(found[3])
        if found[4] ~= ticket or not expiry or not cutoff then return nil, "nonsense" end
        answers[number] = { expiry, cutoff, found[1] }
    end
    if place <= #data then return nil, "nonsense" end
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
                sock:setkeepalive()
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
