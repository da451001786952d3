"""What Redis does for a quota in one step, in its own language.

Both scripts take the same keys and arguments, and answer with what is granted, for how many
microseconds it is, and how much is left.

Keys, all in one slot of a cluster: what is taken; what was taken in former buckets; the answer
that was given to this id.

Arguments: limit, window, bucket (both in microseconds), 1 for best effort, amount (negative:
give back), now (in microseconds; empty: by Redis's own clock, which all servers share), 1 if
there is an id.
"""

from __future__ import annotations

from typing import Final

_BEGIN = """
local limit, window, length = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local is_best_effort, amount, now = ARGV[4] == '1', tonumber(ARGV[5]), tonumber(ARGV[6])
local has_id = ARGV[7] == '1'
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function whole(number)
  return string.format('%.0f', number)
end

local function milliseconds(microseconds)
  return whole(math.ceil(microseconds / 1000))
end

-- How much is granted while this much is taken.
local function share(taken)
  local free = math.max(limit - taken, 0)
  if amount <= free then
    return amount
  end
  return is_best_effort and free or 0
end

-- The answer, remembered for repetitions: for as long as it holds, and a second at least.
local function answer(granted, ttl, taken)
  local left = math.max(limit - taken, 0)
  if has_id then
    local span = math.max(ttl, 1000000)
    redis.call('HSET', KEYS[3], 'granted', whole(granted), 'over', whole(now + ttl),
               'forgotten', whole(now + span), 'left', whole(left))
    redis.call('PEXPIRE', KEYS[3], milliseconds(span))
  end
  return {granted, ttl, left}
end

if has_id then
  local before = redis.call('HMGET', KEYS[3], 'granted', 'over', 'forgotten', 'left')
  if before[1] and tonumber(before[3]) > now then
    return {tonumber(before[1]), math.max(tonumber(before[2]) - now, 0), tonumber(before[4] or 0)}
  end
end
"""

FIXED_WINDOW: Final = (
    _BEGIN
    + """
local kept = redis.call('HMGET', KEYS[1], 'taken', 'over')
local taken, over = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
if now >= over then
  taken, over = 0, now + window
end
local granted
if amount < 0 then
  granted = -math.min(-amount, taken)
else
  granted = share(taken)
end
if granted ~= 0 then
  redis.call('HSET', KEYS[1], 'taken', whole(taken + granted), 'over', whole(over))
  redis.call('PEXPIRE', KEYS[1], milliseconds(over - now))
end
return answer(granted, over - now, taken + granted)
"""
)
"""A window begins with the first request after the former one."""

ROLLING_WINDOW: Final = (
    _BEGIN
    + """
local kept = redis.call('HMGET', KEYS[1], 'total', 'bucket', 'taken')
local total, bucket, taken = tonumber(kept[1] or 0), tonumber(kept[2] or 0), tonumber(kept[3] or 0)

-- A clock that was set back goes on where it was.
local current = math.max(math.floor(now / length), bucket)
if current > bucket then
  if taken > 0 then
    redis.call('ZADD', KEYS[2], whole(bucket), whole(bucket) .. ':' .. whole(taken))
  end
  bucket, taken = current, 0
end

local function amount_of(member)
  return tonumber(string.sub(member, string.find(member, ':', 1, true) + 1))
end

-- A bucket counts until its end is a whole window ago.
local oldest = '(' .. whole(math.floor((math.max(now, current * length) - window) / length))
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', oldest)) do
  total = total - amount_of(member)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', oldest)

local granted
if amount < 0 then
  granted = -math.min(-amount, total)
  local left = -granted
  local part = math.min(left, taken)
  taken, left = taken - part, left - part
  while left > 0 do
    local newest = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    local had = amount_of(newest[1])
    redis.call('ZREM', KEYS[2], newest[1])
    if had > left then
      redis.call('ZADD', KEYS[2], newest[2], newest[2] .. ':' .. whole(had - left))
    end
    left = math.max(left - had, 0)
  end
else
  granted = share(total)
  taken = taken + granted
end
total = total + granted

if total > 0 then
  redis.call('HSET', KEYS[1], 'total', whole(total), 'bucket', whole(bucket), 'taken', whole(taken))
  local life = milliseconds(window + 2 * length)
  redis.call('PEXPIRE', KEYS[1], life)
  redis.call('PEXPIRE', KEYS[2], life)
else
  redis.call('DEL', KEYS[1], KEYS[2])
end
return answer(granted, window, total)
"""
)
"""No span of the window's length holds more than the limit; a share comes back up to one bucket late."""
