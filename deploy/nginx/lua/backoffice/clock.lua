-- Time for limits: seconds since the epoch, and never backwards.
-- A host clock that is set back would lengthen the life of every session. Within a
-- worker the clock therefore runs on at the pace of the monotonic clock instead.

local ffi = require "ffi"

ffi.cdef [[
struct backoffice_time { long seconds; long nanoseconds; };
int clock_gettime(int clock, struct backoffice_time *time);
]]

local MONOTONIC = 1
local time = ffi.new("struct backoffice_time")
local wall_now = ngx.now
local wall_then, steady_then = 0, 0

local function steady()
    ffi.C.clock_gettime(MONOTONIC, time)
    return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

local _M = { steady = steady }

function _M.now()
    local wall = wall_now()
    if wall == wall_then then return wall end
    local monotonic = steady()
    local expected = wall_then + monotonic - steady_then
    -- nginx keeps the time of the last event, and NTP moves in small steps.
    if wall < expected - 1 then return expected end
    wall_then, steady_then = wall, monotonic
    return wall
end

return _M
