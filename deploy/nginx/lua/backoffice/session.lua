-- Is there a live session behind this cookie? Asked anew for each request (P1).

local clock = require "backoffice.clock"
local fence = require "backoffice.fence"
local record = require "backoffice.record"
local site = require "backoffice.site"
local store = require "backoffice.store"

local notes = ngx.shared.backoffice
local timer_at, now, floor, min = ngx.timer.at, clock.now, math.floor, math.min

local USE_SECONDS = 5

local _M = {}
local touch_ms, cookie

function _M.start(door, cookie_name)
    touch_ms, cookie = door.touch_ms, cookie_name
end

-- A store that did not take the use may not have taken a kill either.
local function note_use(premature, key)
    if premature then return end
    local cookies = { Cookie = cookie .. "=" .. key }
    if site.call("POST", "/gate/use", cookies, USE_SECONDS) == 503 then fence.lower() end
end

-- A use moves the idle limit, at most once a minute. This door writes nothing to the
-- store: the site is told, and nobody waits for it. While the site is away, idle
-- limits run on.
local function tell_of_use(id, key)
    if notes:add("use:" .. id, true, USE_SECONDS * 2) then timer_at(0, note_use, key) end
end

-- The record behind this id if the answer to it is that of a live session.
local function living(id, key, round, at, looking)
    local value = round.values[at]
    local found = value ~= "" and record.opened(id, value)
    if not found or not found.profile then return nil end
    local moment, expiry = floor(now() * 1000), round.expiries[at]
    if not record.is_live(found, expiry, round.cutoffs[at], moment) then return nil end
    -- As in store.py: a short idle limit must not run out between two notes of a use.
    local since = moment - record.last_used(found, expiry)
    if not looking and since >= min(touch_ms, found.idle / 2) then
        tell_of_use(id, key)
    end
    return found
end

-- The record of a live session; nil when there is none; nil and true when the store
-- cannot say, which never means "none". `looking` is no use of it.
function _M.live(key, looking)
    local ids = record.ids(key)
    local round, before = store.ask(ids)
    if not round then return nil, true end
    local found = living(ids[1], key, round, before + 1, looking)
    for place = 2, #ids do
        found = found or living(ids[place], key, round, before + place, looking)
    end
    return found
end

return _M
