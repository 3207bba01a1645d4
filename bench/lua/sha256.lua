-- Knows the SHA-256 of its keys. Envoy's Lua has no hash, so this is FIPS 180-4 with LuaJIT's bit operations.
local bit = require("bit")
local band, bnot, bxor, ror, rshift, tobit =
  bit.band, bit.bnot, bit.bxor, bit.ror, bit.rshift, bit.tobit

local primes, candidate = {}, 2
while #primes < 64 do
  local is_prime = true
  for i = 1, #primes do
    if candidate % primes[i] == 0 then is_prime = false break end
  end
  if is_prime then primes[#primes + 1] = candidate end
  candidate = candidate + 1
end
local function fraction(number) return tobit(math.floor((number % 1) * 2^32)) end
local K, H = {}, {}
for i = 1, 64 do
  -- A double holds the cube root's first 32 bits behind the point; two Newton steps settle the last of them.
  local root = primes[i] ^ (1 / 3)
  for _ = 1, 2 do root = root - (root * root * root - primes[i]) / (3 * root * root) end
  K[i] = fraction(root)
  if i <= 8 then H[i] = fraction(math.sqrt(primes[i])) end
end

local W = {}
local function sha256(text)
  local a0, b0, c0, d0, e0, f0, g0, h0 = H[1], H[2], H[3], H[4], H[5], H[6], H[7], H[8]
  local length = #text
  text = text .. "\128" .. ("\0"):rep((55 - length) % 64)
    .. string.char(0, 0, 0, 0, 0, 0, band(rshift(length * 8, 8), 255), band(length * 8, 255))
  for start = 1, #text, 64 do
    for i = 0, 15 do
      local a, b, c, d = text:byte(start + 4 * i, start + 4 * i + 3)
      W[i + 1] = tobit(a * 16777216 + b * 65536 + c * 256 + d)
    end
    for i = 17, 64 do
      local x, y = W[i - 15], W[i - 2]
      local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
      local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
      W[i] = tobit(W[i - 16] + s0 + W[i - 7] + s1)
    end
    local a, b, c, d, e, f, g, h = a0, b0, c0, d0, e0, f0, g0, h0
    for i = 1, 64 do
      local t1 = tobit(h + bxor(ror(e, 6), ror(e, 11), ror(e, 25))
        + bxor(band(e, f), band(bnot(e), g)) + K[i] + W[i])
      local t2 = bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(a, c), band(b, c))
      h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
    end
    a0, b0, c0, d0 = tobit(a0 + a), tobit(b0 + b), tobit(c0 + c), tobit(d0 + d)
    e0, f0, g0, h0 = tobit(e0 + e), tobit(f0 + f), tobit(g0 + g), tobit(h0 + h)
  end
  return bit.tohex(a0) .. bit.tohex(b0) .. bit.tohex(c0) .. bit.tohex(d0)
    .. bit.tohex(e0) .. bit.tohex(f0) .. bit.tohex(g0) .. bit.tohex(h0)
end

local known = {}
for digest in ([[@SECRETS@]]):gmatch("%S+") do known[digest] = true end

function envoy_on_request(handle)
  local path = handle:headers():get(":path")
  local secret = path:match("[?&]api_secret=([^&]*)")
  if not (secret and known[sha256(secret)]) then
    handle:respond({[":status"] = "401"}, "")
  end
end
