-- One session as it lies in the store: how it is named, opened and judged. The same
-- form as accounts/sessions/record.py and seal.py, which say why it is so.

local cjson = require "cjson.safe"
local crypto = require "backoffice.crypto"
local ffi = require "ffi"
local lrucache = require "resty.lrucache"

local byte, sub, find, format = string.byte, string.sub, string.find, string.format
local gsub, ipairs, type, floor = string.gsub, ipairs, type, math.floor

ffi.cdef "size_t strspn(const char *text, const char *signs);"

local C, KEY_SIGNS = ffi.C, "abcdefghijklmnopqrstuvwxyz0123456789"
local FORM, HEAD_BYTES, HEADER_BYTES = 2, 57, 17
local MOST_BYTES = 64 * 1024
local KEPT = 2000

-- Not a cache of answers: the store is asked for the value each time. Only one that is
-- the same to the last byte need not be deciphered anew.
local kept = assert(lrucache.new(KEPT))
local secrets, leeway
local hex = {}
for number = 0, 255 do hex[number] = format("%02x", number) end

local _M = {}

function _M.start(door)
    leeway = door.clock_leeway_ms
    secrets = {}
    for place, secret in ipairs(door.secrets) do
        secrets[place] = {
            id = secret.id,
            name = crypto.hmac(secret.names),
            seal = crypto.hmac(secret.seal),
        }
    end
end

-- Without a pattern: see resp.lua.
local function is_key(value)
    return #value == 32 and C.strspn(value, KEY_SIGNS) == 32
end

-- The key in a field that names our cookie once and has no blanks around it, as browsers
-- write it; nil when it has to be looked at more closely.
local function plain_key_in(cookies, first, last, name)
    if find(cookies, name, last + 1, true) or byte(cookies, last + 1) ~= 61 then return nil end
    if first > 1 and (first == 2 or sub(cookies, first - 2, first - 1) ~= "; ") then return nil end
    local after = byte(cookies, last + 34)
    if after and after ~= 59 then return nil end
    local value = sub(cookies, last + 2, last + 33)
    return is_key(value) and value or nil
end

-- The session key that the browser sent, if it is exactly one of proper form. Two of our
-- name mean that somebody else planted one; to choose would be to let them choose.
function _M.key_in(cookies, name)
    local first, last = find(cookies, name, 1, true)
    if not first then return nil end
    local plain = plain_key_in(cookies, first, last, name)
    if plain then return plain end
    local found = nil
    while first do
        local before = first - 1
        local sign = byte(cookies, before)
        while sign == 32 or sign == 9 do
            before = before - 1
            sign = byte(cookies, before)
        end
        local stop = (find(cookies, ";", last + 1, true) or #cookies + 1) - 1
        if before < 1 or sign == 59 then
            local value = sub(cookies, last + 1, stop)
            local given = gsub(value, "^[ \t]*=", "", 1)
            if given ~= value or not find(value, "[^ \t]") then
                if found then return nil end
                found = gsub(gsub(given, "^[ \t]+", ""), "[ \t]+$", "")
            end
        end
        first, last = find(cookies, name, last + 1, true)
    end
    return found and is_key(found) and found or nil
end

-- Every id the session may be stored under, the newest secret first.
function _M.ids(key)
    local message = "session\0" .. key
    local ids = { secrets[1].name(message, true) }
    for place = 2, #secrets do ids[place] = secrets[place].name(message, true) end
    return ids
end

local function whole_number(text, place, size)
    local number = 0
    for index = place, place + size - 1 do number = number * 256 + byte(text, index) end
    return number
end

local function unsealed(id, sealed)
    if #sealed <= HEADER_BYTES or #sealed > MOST_BYTES or byte(sealed) ~= 1 then
        return nil, "form"
    end
    local mark = sub(sealed, 2, 5)
    for _, secret in ipairs(secrets) do
        if secret.id == mark then
            local key = secret.seal("bo:{" .. sub(id, 1, 1) .. "}:s:" .. id)
            local nonce = sub(sealed, 6, HEADER_BYTES)
            return crypto.open(key, nonce, sub(sealed, HEADER_BYTES + 1)), "tag"
        end
    end
    return nil, "secret"
end

local function hex_of(text)
    return (gsub(text, ".", function(sign) return hex[byte(sign)] end))
end

local function parsed(id, content)
    if #content < HEAD_BYTES or byte(content) ~= FORM then return nil, "record form" end
    -- Should the connection ever hand us the answer to another question, it ends here.
    if hex_of(sub(content, 2, 13)) ~= id then return nil, "another session's record" end
    local data = cjson.decode(sub(content, HEAD_BYTES + 1))
    if type(data) ~= "table" then return nil, "contents" end
    local profile = data.profile
    return {
        id = id,
        began = whole_number(content, 14, 8),
        ends = whole_number(content, 22, 8),
        idle = whole_number(content, 30, 4) * 1000,
        -- A sign-in that has only begun has none, and is no session yet.
        profile = type(profile) == "table" and profile or nil,
    }
end

-- The record in a value; nil for what was not sealed by us for this id.
function _M.opened(id, sealed)
    local known = kept:get(id)
    if known and known.sealed == sealed then return known end
    local content, problem = unsealed(id, sealed)
    local record
    if content then record, problem = parsed(id, content) end
    if not record then
        ngx.log(ngx.WARN, "session_refused session_id=", id, " because=", problem)
        return nil
    end
    record.sealed = sealed
    kept:set(id, record)
    return record
end

-- Whether the limits, the cut-off and the store's own expiry all agree, in ms. An expiry
-- that is missing or later than any touch could have set was planted.
function _M.is_live(record, expiry, cutoff, now)
    local latest = now + record.idle
    if record.ends < latest then latest = record.ends end
    return now < record.ends and now < expiry and expiry <= latest + leeway
        and record.began >= cutoff
end

-- The use that set this expiry, in ms; to the minute in the last stretch.
function _M.last_used(record, expiry)
    local missing = record.ends - expiry
    if missing <= floor(record.idle / 60000) + 1 then
        local used = record.ends - 60000 * missing
        return used > record.began and used or record.began
    end
    return expiry - record.idle
end

return _M
