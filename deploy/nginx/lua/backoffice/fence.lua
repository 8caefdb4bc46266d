-- Decides whether the store may be believed at this moment, as accounts/sessions/fence.py
-- does, for an entrance that cannot read the revocation log itself.
--
-- Two things must hold. The fence: a Python process has replayed the log into this very
-- store at our request, and nobody here has met an outage since we asked. The lease: it was
-- confirmed within the last two seconds, over a new connection, that the store's address
-- still leads to it and that it is a primary. Otherwise every request is a 503.
-- docs/decisions says why the fence is a request to Python and not a key in the store.

local clock = require "backoffice.clock"
local site = require "backoffice.site"

local notes = ngx.shared.backoffice
local sleep, timer_at, timer_every, now = ngx.sleep, ngx.timer.at, ngx.timer.every, ngx.now
local steady = clock.steady

local ASK_SECONDS = 5
local WAIT_SECONDS, POLL_SECONDS = 0.4, 0.01
-- As in fence.py and lease.py.
local LEASE_SECONDS, RENEW_SECONDS = 2, 0.5

local _M = {}
local identify

-- The identity of the store that may be believed now, or nil.
function _M.standing()
    local lease = notes:get("lease")
    return lease and steady() < lease and notes:get("fenced") or nil
end

-- Notes an outage: a kill decided meanwhile is in the log only.
function _M.lower()
    notes:incr("outages", 1, 0)
    notes:delete("fenced")
end

local function note(identity, outages)
    notes:set("fenced", identity)
    -- Whoever lowers the fence counts first and deletes then. If it counted since we
    -- asked, the replay may have come too early for its outage.
    if (notes:get("outages") or 0) ~= outages then notes:delete("fenced") end
end

-- Asks the store who it is, renews the lease if it is the one that was fenced, and follows
-- its clock. The lease counts from when that was asked.
local function confirm()
    local fenced, asked = notes:get("fenced"), steady()
    if not fenced then return end
    local found, problem, reading = identify()
    if found == fenced then
        if reading then clock.follow(reading.moment, reading.asked, reading.answered) end
        notes:set("lease", asked + LEASE_SECONDS)
    elseif found then
        _M.lower()
    else
        ngx.log(ngx.WARN, "lease_not_renewed cause=", problem)
    end
end

-- One worker at a time is enough: they share what is found out.
local function renew(premature)
    if not premature and notes:add("renewing", true, RENEW_SECONDS * 0.8) then confirm() end
end

local function replay(outages)
    local status, reply = site.call("POST", "/gate/fence", nil, ASK_SECONDS)
    local identity = status == 200 and type(reply) == "table" and reply.identity
    if identity then
        note(identity, outages)
        ngx.log(ngx.NOTICE, "store_fenced identity=", identity)
    else
        ngx.log(ngx.ERR, "fence_blocked because=", status or reply)
    end
end

local function ask(premature, outages)
    if premature then return end
    if not notes:get("fenced") then replay(outages) end
    confirm()
    notes:delete("asking")
end

-- Keeps the lease beside the requests. `find` gives the identity of the store.
function _M.start_worker(find)
    identify = find
    assert(timer_every(RENEW_SECONDS, renew))
end

-- Waits a moment for a replay, and starts one if nobody has. Identity or nil.
function _M.raise()
    if notes:add("asking", true, ASK_SECONDS + 1) then
        if not timer_at(0, ask, notes:get("outages") or 0) then notes:delete("asking") end
    end
    local deadline = now() + WAIT_SECONDS
    repeat
        sleep(POLL_SECONDS)
        local identity = _M.standing()
        if identity then return identity end
    until not notes:get("asking") or now() > deadline
    return nil
end

return _M
