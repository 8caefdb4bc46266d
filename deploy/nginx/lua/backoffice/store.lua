-- The question to the store, and no answer but to this very question.
--
-- The store user of this door needs no right to write. Whatever goes wrong is an outage:
-- it lowers the fence, and the connection is closed so that nobody gets what may still
-- come over it.

local fence = require "backoffice.fence"
local resp = require "backoffice.resp"
local rounds = require "backoffice.rounds"

local tcp = ngx.socket.tcp
local sub, match = string.sub, string.match
local tonumber, concat = tonumber, table.concat
local command, text_at, number_at = resp.command, resp.text_at, resp.number_at
local steady = require("backoffice.clock").steady

local MOST_BYTES, MOST_QUESTIONS, MOST_TRIES = 64 * 1024, 64, 3
local WAIT_SECONDS = 0.9
-- No pool keeps the connections that only ask who is there.
local PROBE = { pool = "backoffice-store-probe" }

local _M = {}
local config, greeting, greetings, tickets, prefix, ask
local pools = {}

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
    greeting = concat(steps) .. command("INFO", "server", "replication")
    -- One lane: the store has one thread.
    ask = rounds.new {
        carry = _M.carry, fail = _M.fail,
        seconds = WAIT_SECONDS, most = MOST_QUESTIONS, lanes = 1,
    }
end

-- What is asked about one session: its value, when the store will forget it, and the
-- cut-off it is under. Not one moment but three, in the order in which each can only make
-- the answer stricter.
function _M.question(id)
    local shard = sub(id, 1, 1)
    local name = "$33\r\nbo:{" .. shard .. "}:s:" .. id .. "\r\n"
    return "*2\r\n$3\r\nGET\r\n" .. name
        .. "*2\r\n$11\r\nPEXPIRETIME\r\n" .. name
        .. "*2\r\n$3\r\nGET\r\n$13\r\nbo:{" .. shard .. "}:cutoff\r\n"
end

-- Greets a new connection: who are you? A server that will not say cannot be fenced, and
-- a replica may lack what was ended. A primary that was a replica meanwhile kept its run
-- id, and took another history. Gives the identity, no problem, and a reading of its clock.
local function greet(sock)
    local asked = steady()
    local sent, problem = sock:send(greeting)
    if not sent then return nil, problem end
    for _ = 1, greetings do
        local fine
        fine, problem = resp.text(sock)
        if fine ~= "OK" then return nil, problem or "not welcome" end
    end
    local facts
    facts, problem = resp.text(sock)
    if not facts then return nil, problem end
    if match(facts, "_mode:cluster") then return nil, "a Cluster" end
    if match(facts, "role:(%l+)") ~= "master" then return nil, "no primary" end
    local run_id, history = match(facts, "run_id:(%x+)"), match(facts, "master_replid:(%x*)")
    if not run_id then return nil, "no run id" end
    local moment = tonumber(match(facts, "server_time_usec:(%d+)"))
    local reading = moment and { moment = moment / 1e6, asked = asked, answered = steady() }
    return run_id .. "-" .. (history or ""), nil, reading
end

-- A socket that leads to the store's address.
local function open(options)
    local sock = tcp()
    local connected, problem
    if config.socket then
        connected, problem = sock:connect("unix:" .. config.socket, options)
    else
        connected, problem = sock:connect(config.host, config.port, options)
    end
    if not connected then return nil, problem end
    if config.tls and sock:getreusedtimes() == 0 then
        local secure
        secure, problem = sock:sslhandshake(nil, config.host, true)
        if not secure then return nil, problem end
    end
    return sock
end

-- Who the store is now, asked over a new connection, or nil; a problem; what its clock says.
function _M.identity()
    local sock, problem = open(PROBE)
    if not sock then return nil, problem end
    local found, reading
    found, problem, reading = greet(sock)
    sock:close()
    return found, problem, reading
end

-- A connection to the fenced store; nil and a problem. The third result is true when
-- the store answers and is another one than was fenced.
local function connect(identity)
    local options = pools[identity]
    if not options then
        -- One pool for one store: a connection to another is never taken for it.
        options = { pool = "backoffice-store:" .. identity }
        pools = { [identity] = options }
    end
    local sock, problem = open(options)
    if not sock then return nil, problem end
    if sock:getreusedtimes() > 0 then return { sock = sock, identity = identity, is_used = true } end
    local found
    found, problem = greet(sock)
    if found == identity then return { sock = sock, identity = identity, is_used = false } end
    sock:close()
    return nil, found and "another store" or problem, found ~= nil
end

-- What `read` finds at this place, and the place after it in what came meanwhile.
local function take(read, sock, data, place)
    local found, after = read(data, place)
    while not found do
        if after then return nil, after end
        local piece, problem = sock:receiveany(MOST_BYTES)
        if not piece then return nil, problem end
        data, place = sub(data, place) .. piece, 1
        found, after = read(data, place)
    end
    return found, data, after
end

-- Puts the round's answers into it; a problem when one of them is not an answer to it.
local function exchange(sock, round)
    tickets = tickets + 1
    prefix = prefix or ngx.worker.pid() .. "."
    local ticket, questions, size = prefix .. tickets, round.questions, round.size
    questions[size + 1] = "*2\r\n$4\r\nECHO\r\n$" .. #ticket .. "\r\n" .. ticket .. "\r\n"
    local sent, problem = sock:send(questions)
    if not sent then return problem end
    local data, place, value, expiry, cutoff, echo = "", 1, nil, nil, nil, nil
    local values, expiries, cutoffs = {}, {}, {}
    for number = 1, size do
        value, data, place = take(text_at, sock, data, place)
        if not value then return data end
        expiry, data, place = take(number_at, sock, data, place)
        if not expiry then return data end
        cutoff, data, place = take(text_at, sock, data, place)
        if not cutoff then return data end
        cutoff = cutoff == "" and 0 or tonumber(cutoff)
        if not cutoff then return "nonsense" end
        values[number], expiries[number], cutoffs[number] = value, expiry, cutoff
    end
    -- Only now is it sure that the answers are to these questions.
    echo, data, place = take(text_at, sock, data, place)
    if not echo then return data end
    if echo ~= ticket or place <= #data then return "nonsense" end
    round.values, round.expiries, round.cutoffs = values, expiries, cutoffs
end

function _M.fail(problem)
    fence.lower()
    ngx.log(ngx.WARN, "store_unavailable cause=", problem)
end

-- Asks the questions of a round over this link, or a new one, and gives the link for the
-- next. The round has its answers then, or is to be asked `again` once the fence stands,
-- or neither: the store cannot say, or may not be believed.
function _M.carry(round, link)
    local identity, problem, is_another = fence.standing(), nil, nil
    if link and link.identity ~= identity then
        link.sock:close()
        link = nil
    end
    if not identity then
        round.again = true
        return nil
    end
    if not link then
        link, problem, is_another = connect(identity)
    end
    if link then
        problem = exchange(link.sock, round)
        if not problem then
            link.is_used = true
            -- Believed only if it was the current store all the while.
            if fence.standing() ~= link.identity then
                round.values, round.again = nil, true
            end
            return link
        end
        link.sock:close()
    end
    -- A connection that was closed while it lay idle: nothing was asked yet that could
    -- matter, and a new one tells whether it is still the same store. Another identity: it
    -- restarted, failed over or was restored.
    if is_another or link and link.is_used and (problem == "closed" or problem == "broken pipe") then
        fence.lower()
        round.again = true
    else
        _M.fail(problem)
    end
    return nil
end

-- The round that has the answers for these ids, and the place before theirs. Nil when the
-- store cannot say, or may not be believed.
function _M.ask(ids)
    local questions = { _M.question(ids[1]) }
    for place = 2, #ids do questions[place] = _M.question(ids[place]) end
    for _ = 1, MOST_TRIES do
        local round, before = ask(questions)
        if round.values then return round, before end
        if not round.again or not fence.standing() and not fence.raise() then return nil end
    end
    return nil
end

return _M
