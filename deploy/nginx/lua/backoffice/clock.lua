-- Time for limits: seconds since the epoch by the store's clock, as in
-- accounts/sessions/clock.py, and never backwards. Until the store has told its time, the
-- host's own clock is taken.

local ffi = require "ffi"

ffi.cdef [[
struct backoffice_time { long seconds; long nanoseconds; };
int clock_gettime(int clock, struct backoffice_time *time);
]]

local MONOTONIC = 1
-- More than this back is a jump of the store's clock, which is not followed.
local JUMP_SECONDS = 1
local time = ffi.new("struct backoffice_time")
-- The workers share the difference between the store's clock and the monotonic one.
local notes = ngx.shared.backoffice
local wall_now, max, min = ngx.now, math.max, math.min
local seen, last = 0, 0
local wall_then, steady_then = 0, 0

local function steady()
    ffi.C.clock_gettime(MONOTONIC, time)
    return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

local function host_time(wall, monotonic)
    local expected = wall_then + monotonic - steady_then
    -- nginx keeps the time of the last event, and NTP moves in small steps.
    if wall < expected - JUMP_SECONDS then return expected end
    wall_then, steady_then = wall, monotonic
    return wall
end

local _M = { steady = steady }

-- Follows the store's clock: `moment`, read between two moments of the monotonic clock.
function _M.follow(moment, asked, answered)
    local earliest, latest = moment - answered, moment - asked
    local known = notes:get("clock") or (earliest + latest) / 2
    if known > latest + JUMP_SECONDS then
        if notes:add("clock_told", true, 600) then
            ngx.log(ngx.WARN, "store_clock_set_back seconds=", known - latest)
        end
        return
    end
    notes:set("clock", min(max(known, earliest), latest))
end

function _M.now()
    local wall = wall_now()
    if wall == seen then return last end
    seen = wall
    local monotonic, offset = steady(), notes:get("clock")
    last = max(last, offset and monotonic + offset or host_time(wall, monotonic))
    return last
end

return _M
