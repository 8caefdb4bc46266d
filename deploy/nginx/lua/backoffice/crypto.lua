-- HMAC-SHA256, AES-256-GCM and Ed25519, by way of the libcrypto that nginx is linked with.
-- Debian's Lua libraries have no GCM, and a cipher is nothing to write by hand.

local bit = require "bit"
local ffi = require "ffi"

ffi.cdef [[
typedef struct evp_md_st EVP_MD;
struct backoffice_sha256 { unsigned int state[28]; };
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct engine_st ENGINE;

int SHA256_Init(struct backoffice_sha256 *c);
int SHA256_Update(struct backoffice_sha256 *c, const void *data, size_t len);
int SHA256_Final(unsigned char *md, struct backoffice_sha256 *c);

const EVP_CIPHER *EVP_aes_256_gcm(void);
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *ctx, int type, int arg, void *ptr);
int EVP_DecryptInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *type, ENGINE *impl,
                       const unsigned char *key, const unsigned char *iv);
int EVP_DecryptUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl,
                      const unsigned char *in, int inl);
unsigned char *ngx_hex_dump(unsigned char *to, const unsigned char *from, size_t length);
int EVP_DecryptFinal_ex(EVP_CIPHER_CTX *ctx, unsigned char *outm, int *outl);

typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
EVP_PKEY *EVP_PKEY_new_raw_private_key(int type, ENGINE *impl, const unsigned char *key,
                                       size_t length);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
int EVP_DigestSignInit(EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx, const EVP_MD *type,
                       ENGINE *impl, EVP_PKEY *pkey);
int EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *out, size_t *length,
                   const unsigned char *in, size_t in_length);
]]

local C = ffi.C
local new, copy, to_string = ffi.new, ffi.copy, ffi.string
local sub = string.sub

local GCM_SET_TAG = 0x11
local TAG_BYTES = 16
local MOST_BYTES = 64 * 1024

local digest = new("unsigned char[32]")
local hex = new("unsigned char[24]")
local opened = new("unsigned char[?]", MOST_BYTES + 32)
local opened_length = new("int[1]")
local tag_buffer = new("unsigned char[?]", TAG_BYTES)

local _M = {}

local BLOCK_BYTES, STATE_BYTES = 64, ffi.sizeof("struct backoffice_sha256")
local state = new("struct backoffice_sha256")

-- SHA-256 that has read the key's block, with each of its bytes changed by `pad`.
local function begun(key, pad)
    local block, found = new("unsigned char[?]", BLOCK_BYTES), new("struct backoffice_sha256")
    copy(block, key, #key)
    for place = 0, BLOCK_BYTES - 1 do block[place] = bit.bxor(block[place], pad) end
    assert(C.SHA256_Init(found) == 1 and C.SHA256_Update(found, block, BLOCK_BYTES) == 1, "sha256")
    return found
end

-- A function that gives HMAC-SHA256 under this key, as 32 bytes or, when a `reference` is
-- wanted, its first 12 in hex digits (RFC 2104). The key's two blocks are hashed once,
-- here. libcrypto's own HMAC copies its contexts for each message, which costs three times
-- what the hashing does.
function _M.hmac(key)
    assert(#key <= BLOCK_BYTES, "hmac key")
    local inner, outer = begun(key, 0x36), begun(key, 0x5c)
    return function(message, reference)
        copy(state, inner, STATE_BYTES)
        local fine = C.SHA256_Update(state, message, #message) == 1
            and C.SHA256_Final(digest, state) == 1
        copy(state, outer, STATE_BYTES)
        if not fine or C.SHA256_Update(state, digest, 32) ~= 1
            or C.SHA256_Final(digest, state) ~= 1 then
            error("hmac failed")
        end
        if not reference then return to_string(digest, 32) end
        C.ngx_hex_dump(hex, digest, 12)
        return to_string(hex, 24)
    end
end

local cipher = C.EVP_CIPHER_CTX_new()
assert(C.EVP_DecryptInit_ex(cipher, C.EVP_aes_256_gcm(), nil, nil, nil) == 1, "no AES-GCM")

-- What was sealed under this key and nonce (NIST SP 800-38D), or nil when even one bit
-- is not as it was. `sealed` ends in the tag.
function _M.open(key, nonce, sealed)
    local length = #sealed - TAG_BYTES
    if length < 0 or length > MOST_BYTES then return nil end
    copy(tag_buffer, sub(sealed, length + 1), TAG_BYTES)
    if C.EVP_DecryptInit_ex(cipher, nil, nil, key, nonce) ~= 1
        or C.EVP_DecryptUpdate(cipher, opened, opened_length, sealed, length) ~= 1
        or C.EVP_CIPHER_CTX_ctrl(cipher, GCM_SET_TAG, TAG_BYTES, tag_buffer) ~= 1 then
        return nil
    end
    -- Nothing that was deciphered is looked at before the tag has been.
    local count = opened_length[0]
    if C.EVP_DecryptFinal_ex(cipher, opened + count, opened_length) ~= 1 then return nil end
    return to_string(opened, count)
end

local ED25519 = 1087
local signature = new("unsigned char[64]")
local signature_length = new("size_t[1]")

-- A function that signs with this Ed25519 key (RFC 8032), 64 bytes.
function _M.signer(key)
    local pair = C.EVP_PKEY_new_raw_private_key(ED25519, nil, key, #key)
    assert(pair ~= nil, "no Ed25519")
    return function(message)
        local context = C.EVP_MD_CTX_new()
        signature_length[0] = 64
        local fine = C.EVP_DigestSignInit(context, nil, nil, nil, pair) == 1
            and C.EVP_DigestSign(context, signature, signature_length, message, #message) == 1
        C.EVP_MD_CTX_free(context)
        if not fine then error("signing failed") end
        return to_string(signature, 64)
    end
end

return _M
