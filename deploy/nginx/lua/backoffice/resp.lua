-- RESP2, the protocol of Redis 7.0 and Valkey 8: as little of it as this door needs.

local byte, sub, ipairs = string.byte, string.sub, ipairs
local tonumber, concat, select = tonumber, table.concat, select

local MOST_BYTES = 128 * 1024
local MINUS, COLON, DOLLAR, PLUS, ZERO, NINE = 45, 58, 36, 43, 48, 57
local CR, LF = 13, 10

local _M = {}

function _M.command(...)
    local parts = { "*" .. select("#", ...) }
    for _, part in ipairs({ ... }) do
        parts[#parts + 1] = "$" .. #part
        parts[#parts + 1] = part
    end
    return concat(parts, "\r\n") .. "\r\n"
end

-- One text off a new connection; nil and what is wrong with it.
function _M.text(sock)
    local line, problem = sock:receive()
    if not line then return nil, problem end
    local kind = byte(line)
    if kind == DOLLAR then
        local size = tonumber(sub(line, 2))
        if not size or size < 0 or size > MOST_BYTES then return nil, "nonsense" end
        local found
        found, problem = sock:receive(size + 2)
        if not found then return nil, problem end
        return sub(found, 1, size)
    end
    if kind == PLUS then return sub(line, 2) end
    if kind == MINUS then return nil, sub(line, 2) end
    return nil, "nonsense"
end

-- The whole number of a line whose digits begin at `place`, and the place after the line;
-- nil when it has not come yet, and nil and a problem when it is none.
local function number_at(data, place)
    local number, factor, sign = 0, 1, byte(data, place)
    if sign == MINUS then
        factor, place = -1, place + 1
        sign = byte(data, place)
    end
    local first = place
    while sign ~= CR do
        if not sign then return nil end
        if sign < ZERO or sign > NINE or place - first > 15 then return nil, "nonsense" end
        number, place = number * 10 + sign - ZERO, place + 1
        sign = byte(data, place)
    end
    local last = byte(data, place + 1)
    if not last then return nil end
    if place == first or last ~= LF then return nil, "nonsense" end
    return number * factor, place + 2
end

-- What stands in the place of the number or the text that was asked for.
local function other(data, place, kind)
    if not kind then return nil end
    if kind ~= MINUS then return nil, "nonsense" end
    local stop = data:find("\r\n", place, true)
    if not stop then return nil end
    return nil, sub(data, place + 1, stop - 1)
end

-- The text at `place`, "" when it is absent, and the place after it; else as number_at.
function _M.text_at(data, place)
    local kind = byte(data, place)
    if kind ~= DOLLAR then return other(data, place, kind) end
    local size, from = number_at(data, place + 1)
    if not size then return nil, from end
    if size < 0 then return "", from end
    if size > MOST_BYTES then return nil, "nonsense" end
    if #data < from + size + 1 then return nil end
    return sub(data, from, from + size - 1), from + size + 2
end

-- The number at `place` and the place after it; else as number_at.
function _M.number_at(data, place)
    local kind = byte(data, place)
    if kind ~= COLON then return other(data, place, kind) end
    return number_at(data, place + 1)
end

return _M
