-- Keeps a store that forgot from bringing the dead back, as accounts/sessions/fence.py
-- does, for a door that cannot read the ledger itself.
--
-- The store is believed while two things hold: it is the one (by its run id) for which
-- a Python process has replayed the ledger at our word, and nobody here has met an
-- outage since we asked. Otherwise the site is asked to replay again, and until it has,
-- every request is a 503. docs/decisions says why this is a question to Python and not
-- a mark in the store.

local site = require "backoffice.site"

local notes = ngx.shared.backoffice
local sleep, timer_at, now = ngx.sleep, ngx.timer.at, ngx.now

local ASK_SECONDS = 5
local WAIT_SECONDS, POLL_SECONDS = 0.4, 0.01

local _M = {}

-- The run id of the store that may be believed now, or nil.
function _M.standing()
    return notes:get("fenced")
end

-- Notes an outage: a kill decided meanwhile is in the ledger only.
function _M.lower()
    notes:incr("outages", 1, 0)
    notes:delete("fenced")
end

local function note(run_id, outages)
    notes:set("fenced", run_id)
    -- Whoever lowers the fence counts first and deletes then. If it counted since we
    -- asked, the replay may have come too early for its outage.
    if (notes:get("outages") or 0) ~= outages then notes:delete("fenced") end
end

local function ask(premature, outages)
    if premature then return end
    local status, answer = site.call("POST", "/gate/fence", nil, ASK_SECONDS)
    local run_id = status == 200 and type(answer) == "table" and answer.run_id
    if run_id then
        note(run_id, outages)
        ngx.log(ngx.NOTICE, "store_fenced run_id=", run_id)
    else
        ngx.log(ngx.ERR, "fence_blocked because=", status or answer)
    end
    notes:delete("asking")
end

-- Waits a moment for a replay, and starts one if nobody has. Run id or nil.
function _M.raise()
    if notes:add("asking", true, ASK_SECONDS + 1) then
        if not timer_at(0, ask, notes:get("outages") or 0) then notes:delete("asking") end
    end
    local deadline = now() + WAIT_SECONDS
    repeat
        sleep(POLL_SECONDS)
        local run_id = _M.standing()
        if run_id then return run_id end
    until not notes:get("asking") or now() > deadline
    return nil
end

return _M
