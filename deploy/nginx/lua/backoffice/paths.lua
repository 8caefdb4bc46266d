-- Which path is meant, beyond doubt: backoffice/proxy/paths.py once more, and it must
-- give the same answers. A path passes as it came, and only if every reading of it
-- agrees; all others are refused, not repaired.

local byte, sub, find, gsub = string.byte, string.sub, string.find, string.gsub
local char, lower, tonumber, ipairs = string.char, string.lower, tonumber, ipairs

local PREFIX = "/api/proxy"
local MOST_DECODINGS = 5
-- RFC 3986 path characters, and the four that browsers leave as they are.
local NOT_IN_PATH = "[^%w_%-%.~!%$&'%(%)%*%+,;=:@/%[%]|%^%%]"
local PLAIN = "^/api/proxy/?[%w_%-/]*$"

local KEPT, MOST_KEPT_BYTES = 1000, 256

local _M = {}
local targets, count = {}, 0
-- Signs that look like ASCII to a reader who normalises (NFKC), and what they become.
local folds, spaces = {}, {}

function _M.start(door)
    folds, spaces = door.folds, door.spaces
end

local function unescaped(digits)
    return char(tonumber(digits, 16))
end

-- Strict UTF-8 (RFC 3629): overlong forms, surrogates and what lies beyond are refused.
local function is_utf8(text)
    local place = find(text, "[\128-\255]")
    while place do
        local first, second = byte(text, place, place + 1)
        local low, high, more = 0x80, 0xBF, 1
        if first < 0xC2 or first > 0xF4 then return false end
        if first >= 0xF0 then
            more = 3
            if first == 0xF0 then low = 0x90 elseif first == 0xF4 then high = 0x8F end
        elseif first >= 0xE0 then
            more = 2
            if first == 0xE0 then low = 0xA0 elseif first == 0xED then high = 0x9F end
        end
        if not second or second < low or second > high then return false end
        for index = place + 2, place + more do
            local next_byte = byte(text, index)
            if not next_byte or next_byte < 0x80 or next_byte > 0xBF then return false end
        end
        place = find(text, "[\128-\255]", place + more + 1)
    end
    return true
end

-- The path as read by one who decodes it never, once, twice and so on; nil if one of
-- them cannot, or if there is no end to it.
local function readings(path)
    local found = {}
    for count = 1, MOST_DECODINGS do
        found[count] = path
        local decoded = gsub(path, "%%(%x%x)", unescaped)
        if not is_utf8(decoded) then return nil end
        if decoded == path then return found end
        path = decoded
    end
    return nil
end

local function fold(text)
    if not find(text, "[\194-\244]") then return text end
    return (gsub(text, "[\194-\244][\128-\191]+", folds))
end

-- Without what a lax reader takes for a parameter, and without blanks at the ends.
local function bare(segment)
    segment = gsub(segment, ";.*$", "")
    if find(segment, "[ \128-\255]") then
        for _, space in ipairs(spaces) do
            while sub(segment, 1, #space) == space do segment = sub(segment, #space + 1) end
            while sub(segment, -#space) == space do segment = sub(segment, 1, -#space - 1) end
        end
    end
    return segment
end

local function is_ambiguous(reading)
    local text = fold(reading)
    if find(text, "[%z\1-\31\127\\]") or find(text, "//", 1, true)
        or find(text, "\194[\128-\159]") then
        return true
    end
    if find(text, ".", 1, true) then
        for segment in string.gmatch(text, "[^/]+") do
            local name = bare(segment)
            if name == "." or name == ".." then return true end
        end
    end
    return false
end

local function read(target)
    local mark = find(target, "?", 1, true)
    local path = mark and sub(target, 1, mark - 1) or target
    if not find(path, PLAIN) or find(path, "//", 1, true) then
        if byte(path) ~= 47 or find(path, NOT_IN_PATH) or find(gsub(path, "%%%x%x", ""), "%", 1, true) then
            return nil
        end
        local every = readings(path)
        if not every then return nil end
        for _, reading in ipairs(every) do
            if is_ambiguous(reading) then return nil end
        end
    end
    if mark and find(target, "[^!-~]", mark + 1) or find(target, "#", 1, true) then return nil end
    if path ~= PREFIX and sub(path, 1, #PREFIX + 1) ~= PREFIX .. "/" then return nil end
    local below = sub(path, #PREFIX + 2)
    -- One spelling per route: `%6dembers` would be a second name for `members`.
    local first = string.match(below, "^[^/]*")
    if find(first, "%", 1, true) then return nil end
    return { below = below, first = first }
end

-- What the target names below the prefix: its path as it came, and the first name of it;
-- nil when it can be read in more than one way (RFC 9112, 3.2). Remembered, for what a
-- target means never changes.
function _M.read(target)
    local known = targets[target]
    if known then return known end
    known = read(target)
    if known and #target <= MOST_KEPT_BYTES then
        if count >= KEPT then targets, count = {}, 0 end
        targets[target], count = known, count + 1
    end
    return known
end

-- What this path means to readers who look less closely; for comparing, never for
-- sending.
function _M.folded(path)
    local found = readings(path)
    if not found then return nil end
    for count, reading in ipairs(found) do
        found[count] = gsub(lower(fold(reading)), "[^/]+", bare)
    end
    return found
end

return _M
