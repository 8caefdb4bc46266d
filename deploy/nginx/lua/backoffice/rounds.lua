-- Questions to the store leave in rounds: those that came while the last one was on its
-- way go together, over one connection, and their answers come together.
--
-- Nothing is kept and nothing is shared (P1): each question leaves after its request came,
-- and its answer serves that request alone. What is saved is a connection for each
-- request and most of the system calls, here and in the store.
--
-- A connection belongs to who opened it, so one timer of each worker carries the rounds.
-- It ends when nobody has asked for a second, and before it has carried so many that what
-- nginx keeps for it could grow.

local fence = require "backoffice.fence"
local semaphore = require "ngx.semaphore"
local store = require "backoffice.store"

local timer_at, pcall = ngx.timer.at, pcall

local MOST_QUESTIONS, MOST_ROUNDS, MOST_TRIES = 64, 10000, 3
local REST_SECONDS, WAIT_SECONDS = 1, 0.9

local _M = {}
local queue, head, tail = {}, 1, 0
local bell, spare, is_running, is_resting = nil, {}, false, false
local under_way

local function new_round()
    local done = spare[#spare]
    if done then spare[#spare] = nil else done = assert(semaphore.new()) end
    tail = tail + 1
    queue[tail] = { questions = {}, size = 0, waiting = 0, done = done }
    return queue[tail]
end

local function next_round()
    while head > tail do
        is_resting = true
        local woken = bell:wait(REST_SECONDS)
        is_resting = false
        if not woken and head > tail then return nil end
    end
    local round = queue[head]
    queue[head], head = nil, head + 1
    return round
end

local start

local function finish(round)
    round.is_over = true
    if round.waiting > 0 then round.done:post(round.waiting) end
end

local function carry()
    local link
    for _ = 1, MOST_ROUNDS do
        under_way = next_round()
        if not under_way then break end
        link = store.carry(under_way, link)
        finish(under_way)
        under_way = nil
    end
    if link then link.sock:setkeepalive() end
end

-- Also in a worker that is about to leave: what is still in it must be judged.
local function run()
    local fine, problem = pcall(carry)
    if not fine then store.fail(problem) end
    if under_way then finish(under_way) end
    under_way, is_running = nil, false
    if head <= tail then start() end
end

function start()
    bell = bell or assert(semaphore.new())
    is_running = timer_at(0, run) and true or false
end

local function join(ids)
    local round = queue[tail]
    if not round or round.size >= MOST_QUESTIONS then round = new_round() end
    local before = round.size
    local questions = round.questions
    questions[before + 1] = store.question(ids[1])
    for place = 2, #ids do questions[before + place] = store.question(ids[place]) end
    round.size, round.waiting = before + #ids, round.waiting + 1
    if is_resting then
        is_resting = false
        bell:post()
    elseif not is_running then
        start()
    end
    return round, before
end

-- Waits for the end of a round. Its semaphore serves another one when nobody waits any
-- more, and is not collected before: nginx may still be going through those who waited.
local function wait_for(round)
    local done = round.done
    local came = done:wait(WAIT_SECONDS)
    round.waiting = round.waiting - 1
    if not came and not round.is_over then store.fail("timeout") end
    if round.waiting == 0 and round.is_over then
        while done:count() > 0 do done:wait(0) end
        spare[#spare + 1] = done
    end
end

-- The round that has the answers for these ids, and the place before theirs. Nil when the
-- store cannot say, or may not be believed.
function _M.ask(ids)
    for _ = 1, MOST_TRIES do
        local round, before = join(ids)
        wait_for(round)
        if round.values then return round, before end
        if not round.again or not fence.standing() and not fence.raise() then return nil end
    end
    return nil
end

return _M
