-- The head of a request as it came, where nginx hides it: how its lines end, which of them
-- it dropped, and which came more than once. The site's own web server looks as closely.

local ffi = require "ffi"
local base = require "resty.core.base"
require "resty.core.request"

ffi.cdef [[
int strncasecmp(const unsigned char *one, const char *other, size_t length);
size_t strcspn(const unsigned char *text, const char *signs);
]]

local C, get_request = ffi.C, base.get_request
local raw_header, re_find = ngx.req.raw_header, ngx.re.find
local byte, sub = string.byte, string.sub

local MOST_FIELDS = 100
local LINE_FEED, BLANK, TWO = 10, 32, 50
-- Control signs, less those that end a line or a text, in two sets: libc is quick with up
-- to sixteen.
local SOME = "\1\2\3\4\5\6\7\8\11\12\14\15\16\17\18"
local OTHERS = "\19\20\21\22\23\24\25\26\27\28\29\30\31\127"
-- What follows the first line (RFC 9112, 5), as raw_header has it: of the blanks behind a
-- value, the first became a line feed.
local LINES = [[^(?:[\w!#$%&'*+.^`|~-]++:[^\x00-\x08\x0a-\x1f\x7f]*+(?:\n *)?\r\n)*+\r\n$]]

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

local function is(field, name, length)
    return field.key.len == length and C.strncasecmp(field.key.data, name, length) == 0
end

-- The word of a refusal, nil when there is only one way to read this head; how many
-- Cookie and how many Connection lines it has. `request` is its first line, `length` that
-- of the whole.
function _M.look(request, length)
    local current = get_request()
    local count = C.ngx_http_lua_ffi_req_get_headers_count(current, MOST_FIELDS, too_many)
    if too_many[0] ~= 0 then return "header-too-large" end
    C.ngx_http_lua_ffi_req_get_headers(current, fields, count, 1)
    -- HTTP/2 has none.
    local version, _, last = byte(request, -3, -1)
    local has_lines = version ~= TWO
    if last == BLANK then return "bad-head" end
    local rest, cookies, connections = length - #request - 4, 0, 0
    for place = 0, count - 1 do
        local field = fields[place]
        if not is_readable(field.value) then return "bad-head" end
        if has_lines then rest = rest - line_bytes(field) end
        if is(field, "cookie", 6) then cookies = cookies + 1 end
        if is(field, "connection", 10) then connections = connections + 1 end
    end
    -- With nothing left over, there is nothing but these lines, each with its own end.
    if has_lines and rest ~= 0 and not is_sound(request) then return "bad-head" end
    return nil, cookies, connections
end

return _M
