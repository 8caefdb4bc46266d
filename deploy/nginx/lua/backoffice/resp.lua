-- RESP2, the protocol of Redis 7.0 and Valkey 8: as little of it as this door needs.

local byte, sub, find = string.byte, string.sub, string.find
local tonumber, floor, concat, select, ipairs = tonumber, math.floor, table.concat, select, ipairs

local MOST_BYTES = 128 * 1024
local MINUS, COLON, DOLLAR, PLUS = 45, 58, 36, 43

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

-- The number in what is left of a line, the place after it; nil when it has not come yet,
-- and nil and a problem when there is none. Without a loop or a pattern, as all that is
-- done for each call: only then does LuaJIT make one piece of machine code of it.
local function number_in(data, place)
    local stop = find(data, "\r\n", place, true)
    if not stop then return nil end
    local number = tonumber(sub(data, place, stop - 1))
    if not number or number ~= floor(number) then return nil, "nonsense" end
    return number, stop + 2
end

-- What stands in the place of the number or the text that was asked for.
local function other(data, place, kind)
    local stop = find(data, "\r\n", place, true)
    if not stop then return nil end
    return nil, kind == MINUS and sub(data, place + 1, stop - 1) or "nonsense"
end

-- The number at `place` and the place after it; else as number_in.
function _M.number_at(data, place)
    local kind = byte(data, place)
    if kind ~= COLON then return other(data, place, kind) end
    return number_in(data, place + 1)
end

-- The text at `place`, "" when it is absent, and the place after it; else as number_in.
function _M.text_at(data, place)
    local kind = byte(data, place)
    if kind ~= DOLLAR then return other(data, place, kind) end
    local size, from = number_in(data, place + 1)
    if not size then return nil, from end
    if size < 0 then return "", from end
    if size > MOST_BYTES then return nil, "nonsense" end
    if #data < from + size + 1 then return nil end
    return sub(data, from, from + size - 1), from + size + 2
end

return _M
