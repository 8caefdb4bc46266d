-- Questions leave in rounds: those that came while the last one was on its way go together,
-- over one connection, and their answers come together.
--
-- Nothing is kept and nothing is shared (P1): each question leaves after its request came,
-- and its answer serves that request alone. What is saved is a connection for each
-- request and most of the system calls, here and on the other side.
--
-- A connection belongs to who opened it, so timers of each worker carry the rounds: lanes.
-- A lane ends when nobody has asked for a second, and before it has carried so many that
-- what nginx keeps for it could grow.

local semaphore = require "ngx.semaphore"

local timer_at, now, pcall = ngx.timer.at, ngx.now, pcall

local MOST_ROUNDS, REST_SECONDS, LOST_SECONDS = 10000, 1, 0.1

local _M = {}

-- Gives the function that asks. The carrier has
--   carry(round, link)   puts the answers into the round; gives the link for the next one
--   fail(problem)        told when there was no answer
--   seconds              how long a request waits for its answer
--   most, most_bytes     questions in a round, and their length; a longer one goes alone
--   lanes, full          how many rounds may be on their way: one, and more of them when
--                        so many questions wait, or more than a round takes
function _M.new(carrier)
    local most, most_bytes = carrier.most, carrier.most_bytes or math.huge
    local full, seconds = carrier.full or math.huge, carrier.seconds
    local queue, head, tail = {}, 1, 0
    local lanes, busy, spare = {}, 0, {}

    local function new_round()
        local done = spare[#spare]
        if done then spare[#spare] = nil else done = assert(semaphore.new()) end
        tail = tail + 1
        queue[tail] = { questions = {}, size = 0, bytes = 0, waiting = 0, done = done }
        return queue[tail]
    end

    local function next_round(lane)
        while head > tail do
            busy, lane.is_resting = busy - 1, true
            local woken = lane.bell:wait(REST_SECONDS)
            if lane.is_resting then
                -- Nobody came. Counted as awake again, because it is about to end.
                busy, lane.is_resting = busy + 1, false
                if head > tail then return nil end
            elseif not woken then
                -- It was woken in the very moment in which it gave up.
                lane.bell:wait(0)
            end
        end
        local round = queue[head]
        queue[head], head = nil, head + 1
        return round
    end

    local function finish(round)
        round.is_over = true
        if round.waiting > 0 then round.done:post(round.waiting) end
    end

    local function carry(lane)
        local link
        for _ = 1, MOST_ROUNDS do
            local round = next_round(lane)
            if not round then break end
            lane.under_way = round
            link = carrier.carry(round, link)
            finish(round)
            lane.under_way = nil
        end
        if link then link.sock:setkeepalive() end
    end

    local wake

    -- Also in a worker that is about to leave: what is still in it must be judged.
    local function run(_, lane)
        if lane.is_running then return end
        lane.is_running, lane.lost_at, busy = true, 0, busy + 1
        local fine, problem = pcall(carry, lane)
        if not fine then carrier.fail(problem) end
        if lane.under_way then finish(lane.under_way) end
        lane.under_way, lane.is_running = nil, false
        busy = busy - 1
        if head <= tail then wake() end
    end

    -- A timer that has not come after a moment is lost: nginx drops those for which it has
    -- no connection left, and says so to its log alone.
    function wake()
        for place = 1, carrier.lanes do
            local lane = lanes[place]
            if not lane then
                lane = { bell = assert(semaphore.new()), lost_at = 0 }
                lanes[place] = lane
            end
            if lane.is_resting then
                lane.is_resting, busy = false, busy + 1
                return lane.bell:post()
            elseif not lane.is_running then
                if now() >= lane.lost_at and timer_at(0, run, lane) then
                    lane.lost_at = now() + LOST_SECONDS
                end
                return
            end
        end
    end

    local function join(questions)
        -- Most ask one thing, and a loop of one turn would cost each call.
        local bytes, count = #questions[1], #questions
        for place = 2, count do bytes = bytes + #questions[place] end
        local round = queue[tail]
        if not round or round.size >= most or round.bytes + bytes > most_bytes then
            round = new_round()
        end
        local before, all = round.size, round.questions
        all[before + 1] = questions[1]
        for place = 2, count do all[before + place] = questions[place] end
        round.size, round.bytes = before + count, round.bytes + bytes
        round.waiting = round.waiting + 1
        if busy == 0 or round.size >= full or head < tail then wake() end
        return round, before
    end

    -- Waits for the end of a round. Its semaphore serves another one when nobody waits any
    -- more, and is not collected before: nginx may still be going through those who waited.
    local function wait_for(round)
        local done = round.done
        local came = done:wait(seconds)
        round.waiting = round.waiting - 1
        if not came and not round.is_over then carrier.fail("timeout") end
        if round.waiting == 0 and round.is_over then
            while done:count() > 0 do done:wait(0) end
            spare[#spare + 1] = done
        end
    end

    -- The round that these questions left in, and the place before theirs. It has its
    -- answers, or the carrier says in it why not.
    return function(questions)
        local round, before = join(questions)
        wait_for(round)
        return round, before
    end
end

return _M
