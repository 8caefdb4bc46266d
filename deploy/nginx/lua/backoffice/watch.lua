-- Ends what is still open when its session is not any more: streams, WebSockets, uploads.
--
-- A request is judged once, when it comes. Each worker therefore knows its open
-- requests, and asks every two seconds for those that last longer. nginx's Lua cannot
-- end another request; but it can shut the client's socket, and nginx then takes the
-- rest down as after any client that left. The log phase comes before a connection is
-- closed or used again, so a number in this list never means somebody else's socket.

local ffi = require "ffi"
local base = require "resty.core.base"

ffi.cdef [[
int shutdown(int socket, int how);
struct backoffice_connection { void *data; void *read; void *write; int fd; };
struct backoffice_request { uint32_t signature; struct backoffice_connection *connection; };
]]

local SIGNATURE = 0x50545448 -- "HTTP"
local BOTH_WAYS = 2
local EVERY_SECONDS, UNKNOWN_SECONDS = 2, 4
local request_type = ffi.typeof("struct backoffice_request *")
local get_request, cast, C = base.get_request, ffi.cast, ffi.C
local now, pairs, tonumber = ngx.now, pairs, tonumber

local _M = {}
local open, is_live = {}, nil

local function address_of(request)
    return tonumber(cast("uintptr_t", request))
end

-- From now on this request ends with the session of this key, or after `seconds`.
function _M.follow(key, seconds)
    local request = get_request()
    local seen = cast(request_type, request)
    if seen.signature ~= SIGNATURE then error("another nginx than this script knows") end
    local moment = now()
    open[address_of(request)] = {
        fd = seen.connection.fd,
        key = key,
        began = moment,
        deadline = seconds and moment + seconds,
        sure = moment,
    }
end

-- In log_by_lua: this request is over.
function _M.forget()
    open[address_of(get_request())] = nil
end

local function cut(address, entry, why)
    open[address] = nil
    ngx.log(ngx.NOTICE, "stream_ended because=", why)
    C.shutdown(entry.fd, BOTH_WAYS)
end

-- One question per session, however many requests it has open.
local function verdicts(addresses)
    local known = {}
    for _, address in ipairs(addresses) do
        local entry = open[address]
        if entry and known[entry.key] == nil then
            local found, unknown = is_live(entry.key, true)
            known[entry.key] = found and "live" or unknown and "unknown" or "dead"
        end
    end
    return known
end

local function look(premature)
    if premature then return end
    local moment, addresses = now(), {}
    for address, entry in pairs(open) do
        if entry.deadline and moment > entry.deadline then
            cut(address, entry, "total-time")
        elseif moment - entry.began > EVERY_SECONDS / 2 then
            addresses[#addresses + 1] = address
        end
    end
    -- Asking yields: what is open now may be over, or another, when the answer comes.
    local entries = {}
    for place, address in ipairs(addresses) do entries[place] = open[address] end
    local known = verdicts(addresses)
    for place, address in ipairs(addresses) do
        local entry = entries[place]
        if open[address] == entry then
            local verdict = known[entry.key]
            if verdict == "live" then
                entry.sure = moment
            elseif verdict == "dead" then
                cut(address, entry, "session-ended")
            elseif moment - entry.sure > UNKNOWN_SECONDS then
                cut(address, entry, "session-unknown")
            end
        end
    end
end

-- In init_worker_by_lua. `ask` tells for a key whether its session is live: a true
-- value, or nil, or nil and true when nobody can say.
function _M.start(ask)
    is_live = ask
    assert(ngx.timer.every(EVERY_SECONDS, look))
end

return _M
