-- The head of a request as it came, where nginx hides it: how its lines end, which of them
-- it dropped, and which came more than once. The site's own web server looks as closely.

local bit = require "bit"
local ffi = require "ffi"
local base = require "resty.core.base"
require "resty.core.request"

ffi.cdef [[
int strncasecmp(const unsigned char *one, const char *other, size_t length);
size_t strcspn(const unsigned char *text, const char *signs);
]]

local C, get_request = ffi.C, base.get_request
local raw_header, re_find, get_headers = ngx.req.raw_header, ngx.re.find, ngx.req.get_headers
local byte, sub, lower, match = string.byte, string.sub, string.lower, string.match
local band, bor, lshift = bit.band, bit.bor, bit.lshift
local type, ipairs, concat, var = type, ipairs, table.concat, ngx.var

local MOST_FIELDS = 100
local TAB, LINE_FEED, BLANK, DOT, TWO = 9, 10, 32, 46, 50
-- Control signs, less those that end a line or a text, in two sets: libc is quick with up
-- to sixteen.
local SOME = "\1\2\3\4\5\6\7\8\11\12\14\15\16\17\18"
local OTHERS = "\19\20\21\22\23\24\25\26\27\28\29\30\31\127"
-- What follows the first line (RFC 9112, 5), as raw_header has it: of the blanks behind a
-- value, the first became a line feed.
local LINES = [[^(?:[\w!#$%&'*+.^`|~-]++:[^\x00-\x08\x0a-\x1f\x7f]*+(?:\n *)?\r\n)*+\r\n$]]

-- Whatever is read of a head. Each has a mark, a bit for having come; the same bit so much
-- further up says that its value is not the one that nginx would show.
local NAMES = {
    "connection", "content-type", "cookie", "expect", "max-forwards", "origin",
    "sec-fetch-dest", "sec-fetch-site", "sec-websocket-key", "service-worker", "upgrade",
    "via", "x-backoffice",
}
local UP, LONGEST, SHORTEST = 16, 17, 3
local MARKS, VARIABLES = {}, {}
-- Which of them a name can be, by its length and its third sign from the end: no two have
-- both in common, in large or small letters.
local places = ffi.new("uint8_t[?]", (LONGEST + 1) * 32)

local function spot(length, sign)
    return length * 32 + band(sign, 31)
end

for place, name in ipairs(NAMES) do
    local at = spot(#name, byte(name, -3))
    assert(places[at] == 0 and #name <= LONGEST)
    places[at] = place
    MARKS[name], VARIABLES[name] = lshift(1, place - 1), "http_" .. name:gsub("-", "_")
end
local COOKIE, EXPECT, CONTENT_TYPE = MARKS.cookie, MARKS.expect, MARKS["content-type"]

local fields = ffi.new("ngx_http_lua_ffi_table_elt_t[?]", MOST_FIELDS)
local too_many = ffi.new("int[1]")

local _M = {}

-- The length of a field's line if its end follows upon its value, else more than any. The
-- sign after the value, a carriage return or not, is lost: nginx has put a zero there.
local function line_bytes(field)
    local stop = field.value.data + field.value.len
    if stop[1] ~= LINE_FEED then return math.huge end
    return stop - field.key.data + 2
end

local function is_sound(request)
    local text, first = raw_header(), request .. "\r\n"
    return sub(text, 1, #first) == first and re_find(sub(text, #first + 1), LINES, "joD")
end

local function is_readable(value)
    return C.strcspn(value.data, SOME) == value.len and C.strcspn(value.data, OTHERS) == value.len
end

-- The mark of a field, 0 for one that is not read.
local function mark_of(key)
    local length = key.len
    if length < SHORTEST or length > LONGEST then return 0 end
    local place = places[spot(length, key.data[length - 3])]
    if place == 0 or C.strncasecmp(key.data, NAMES[place], length) ~= 0 then return 0 end
    return lshift(1, place - 1)
end

-- nginx takes blanks from around a value, but no tabs.
local function is_padded(value)
    local length = value.len
    return length > 0 and (value.data[0] == TAB or value.data[length - 1] == TAB)
end

local function trimmed_and_joined(lines)
    if type(lines) ~= "table" then lines = { lines } end
    for place, line in ipairs(lines) do lines[place] = match(line, "^[ \t]*(.-)[ \t]*$") end
    return concat(lines, ",")
end

-- Whether the value of this field, a name of NAMES, is another than nginx shows.
function _M.is_odd(name, marks)
    return band(marks, lshift(MARKS[name], UP)) ~= 0
end

-- The value of this field, a name of NAMES, as the site has it: several lines are one with
-- commas. Nil when it did not come. `marks` as `look` has them.
function _M.value(name, marks)
    local mark = MARKS[name]
    if band(marks, mark) == 0 then return nil end
    if band(marks, lshift(mark, UP)) == 0 then return var[VARIABLES[name]] end
    return trimmed_and_joined(get_headers()[name])
end

-- The word of a refusal, nil when there is only one way to read this head; whether it has
-- one line of cookies; and the marks of its fields, for `value`. `request` is its first
-- line, `length` that of the whole.
function _M.look(request, length)
    local current = get_request()
    local count = C.ngx_http_lua_ffi_req_get_headers_count(current, MOST_FIELDS, too_many)
    if too_many[0] ~= 0 then return "header-too-large" end
    C.ngx_http_lua_ffi_req_get_headers(current, fields, count, 1)
    -- nginx takes a blank behind the version, and 1.01 for 1.1.
    local version, dot, last = byte(request, -3, -1)
    if last == BLANK or dot ~= DOT then return "bad-head" end
    -- HTTP/2 has none.
    local has_lines = version ~= TWO
    local rest, came, twice, padded = length - #request - 4, 0, 0, 0
    for place = 0, count - 1 do
        local field = fields[place]
        if not is_readable(field.value) then return "bad-head" end
        if has_lines then rest = rest - line_bytes(field) end
        local mark = mark_of(field.key)
        if mark ~= 0 then
            twice = bor(twice, band(came, mark))
            came = bor(came, mark)
            if is_padded(field.value) then padded = bor(padded, mark) end
        end
    end
    -- With nothing left over, there is nothing but these lines, each with its own end.
    if has_lines and rest ~= 0 and not is_sound(request) then return "bad-head" end
    if band(twice, CONTENT_TYPE) ~= 0 then return "bad-head" end
    local marks = bor(came, lshift(bor(twice, padded), UP))
    if band(came, EXPECT) ~= 0 and lower(_M.value("expect", marks)) ~= "100-continue" then
        return "no-expect"
    end
    return nil, band(came, COOKIE) ~= 0 and band(twice, COOKIE) == 0, marks
end

return _M
