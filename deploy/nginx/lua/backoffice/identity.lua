-- Who is calling, as the upstream may believe it: proxy/headers.py and
-- proxy/identity_token.py once more.

local cjson = require "cjson.safe"
local clock = require "backoffice.clock"
local crypto = require "backoffice.crypto"

local gsub, byte, format = string.gsub, string.byte, string.format
local concat, ipairs, floor = table.concat, ipairs, math.floor

local LIFE_SECONDS, REUSE_SECONDS = 60, 10
-- Readable as they are; a comma separates groups, a percent sign begins an escape.
local ESCAPED = "[^%w_%.%-~!#%$&'%(%)%*%+/:;=%?@%[%]%^`{|}]"

local _M = {}
local sign, head, issuer

local function base64url(text)
    return (gsub(gsub(ngx.encode_base64(text, true), "+", "-"), "/", "_"))
end

function _M.start(rules)
    local newest = rules.door.secrets[1]
    issuer = rules.door.issuer
    sign = crypto.signer(newest.sign)
    head = base64url(format('{"alg":"EdDSA","kid":"%s","typ":"JWT"}', newest.kid))
end

local function escape(sign_of_it)
    return format("%%%02X", byte(sign_of_it))
end

local function encoded(value)
    return (gsub(value or "", ESCAPED, escape))
end

local function fields_of(record)
    local profile, groups, lines = record.profile, {}, { record.id }
    for place, group in ipairs(profile.groups) do groups[place] = encoded(group) end
    local values = {
        { "X-Staff-Sub", encoded(profile.sub) },
        { "X-Staff-User", encoded(profile.username) },
        { "X-Staff-Name", encoded(profile.name) },
        { "X-Staff-Email", encoded(profile.email) },
        { "X-Staff-Department", encoded(profile.department) },
        { "X-Staff-Groups", concat(groups, ",") },
    }
    for _, field in ipairs(values) do
        if field[2] ~= "" then lines[#lines + 1] = field[1] .. ": " .. field[2] end
    end
    return concat(lines, "\r\n")
end

local function token_of(record, audience, began)
    local profile = record.profile
    local claims = cjson.encode({
        iss = issuer,
        aud = audience,
        iat = began,
        exp = began + LIFE_SECONDS,
        sub = profile.sub,
        sid = record.id,
        preferred_username = profile.username,
        name = profile.name,
        email = profile.email,
        department = profile.department,
        groups = #profile.groups > 0 and profile.groups or cjson.empty_array,
    })
    local content = head .. "." .. base64url(claims)
    return content .. "." .. base64url(sign(content))
end

-- The value of X-Session-Id, and after it the lines of X-Staff-Sub, -User, -Name, -Email,
-- -Department and -Groups: one variable of nginx instead of seven. Every value is
-- percent-encoded, so none can begin a line of its own.
function _M.fields(record)
    local known = record.fields
    if not known then
        known = fields_of(record)
        record.fields = known
    end
    return known
end

-- The signed token for one upstream; calls within ten seconds carry the same.
function _M.token(record, audience)
    local began = floor(clock.now() / REUSE_SECONDS) * REUSE_SECONDS
    local tokens = record.tokens
    if not tokens or record.tokens_began ~= began then
        tokens = {}
        record.tokens, record.tokens_began = tokens, began
    end
    local known = tokens[audience]
    if not known then
        known = token_of(record, audience, began)
        tokens[audience] = known
    end
    return known
end

return _M
