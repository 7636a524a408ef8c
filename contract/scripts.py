"""What must happen in one atomic step in Redis, as Lua.

`HSET`, the first write of `SUBMIT`, is what a full Redis refuses: nothing of a refused job stays.
"""

from __future__ import annotations

from contract.bell import MAX_RINGS
from contract.ended import ENDED, MAX_ENTRIES, OPEN

CANCEL_FIELD = "unclip_cancel_requested"
"""Field of a running job's hash that asks its worker to stop; RQ leaves fields it does not know alone."""

# KEYS: job, its queue's list, RQ's set of queues, index of the API key's jobs, bell.
# ARGV: job id, created_at in seconds, prefix of the lane's lists, most in the lane, most in the queue, when jobs were created
# that the index forgets, the text fields as a JSON object, the field `data`, then prefixes of more urgent lanes …
# The bell's channel is rung for the first job of a queue only: of those behind it a worker with room knows already. Who may not
# publish (an ACL without channels) submits all the same.
# Returns {0, its position as POSITION counts it}; {1, waiting in the lane} or {2, waiting in the queue} when there is no room;
# {3, 0} when there is such a job already: its caller repeated a request.
SUBMIT = f"""
if redis.call('EXISTS', KEYS[1]) == 1 then return {{3, 0}} end
local own = redis.call('LLEN', KEYS[2])
local waiting, ahead = 0, own
for _, list in ipairs(redis.call('SMEMBERS', KEYS[3])) do
    if string.sub(list, 1, #ARGV[3]) == ARGV[3] then
        local length = redis.call('LLEN', list)
        waiting = waiting + length
        if list ~= KEYS[2] then ahead = ahead + math.min(own, length) end
    end
    for i = 9, #ARGV do
        if string.sub(list, 1, #ARGV[i]) == ARGV[i] then ahead = ahead + redis.call('LLEN', list) end
    end
end
if waiting >= tonumber(ARGV[4]) then return {{1, waiting}} end
if own >= tonumber(ARGV[5]) then return {{2, own}} end
local fields, texts = {{'data', ARGV[8]}}, cjson.decode(ARGV[7])
for field, value in pairs(texts) do
    fields[#fields + 1] = field
    fields[#fields + 1] = value
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('HSET', '{OPEN}', ARGV[1], texts.origin)
redis.call('SADD', KEYS[3], KEYS[2])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[6])
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
redis.call('RPUSH', KEYS[2], ARGV[1])
if redis.call('LLEN', KEYS[5]) < {MAX_RINGS} then redis.call('RPUSH', KEYS[5], '1') end
if own == 0 then redis.pcall('PUBLISH', KEYS[5], '1') end
return {{0, ahead + 1}}
"""

# A worker claiming the job (under WATCH of the same key) sees all of it or nothing.
# KEYS: job, queue, intermediate list, canceled registry. ARGV: job id, ended_at, retention in seconds, now, queue's name.
CANCEL = f"""
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'started' then
    redis.call('HSET', KEYS[1], '{CANCEL_FIELD}', '1')
elseif status and status ~= 'finished' and status ~= 'failed' and status ~= 'stopped' and status ~= 'canceled' then
    redis.call('LREM', KEYS[2], 0, ARGV[1])
    redis.call('LREM', KEYS[3], 0, ARGV[1])
    redis.call('HSET', KEYS[1], 'status', 'canceled', 'ended_at', ARGV[2], 'started_at', '')
    redis.call('EXPIRE', KEYS[1], ARGV[3])
    redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[4])
    redis.call('ZADD', KEYS[4], ARGV[4] + ARGV[3], ARGV[1])
    redis.call('HDEL', '{OPEN}', ARGV[1])
    redis.call('XADD', '{ENDED}', 'MAXLEN', '~', {MAX_ENTRIES}, '*', 'job', ARGV[1], 'state', 'canceled', 'queue', ARGV[5])
end
return status
"""

# KEYS: job, its results, index of the API key's jobs, then the registries of ended jobs. ARGV: job id.
# Returns the status that kept the job from being deleted, or false.
DELETE = """
local status = redis.call('HGET', KEYS[1], 'status')
if status and status ~= 'finished' and status ~= 'failed' and status ~= 'stopped' and status ~= 'canceled' then
    return status
end
redis.call('DEL', KEYS[1], KEYS[2])
for i = 3, #KEYS do redis.call('ZREM', KEYS[i], ARGV[1]) end
return false
"""

# How many jobs are likely to be begun before this one: those before it in its own queue, as many of every other queue of the
# lane, since queues take turns; and what waits in more urgent lanes.
# KEYS: its queue's list, RQ's set of queues. ARGV: job id, prefix of its lane's lists, prefixes of more urgent lanes …
POSITION = """
local place = redis.call('LPOS', KEYS[1], ARGV[1])
if not place then return false end
local ahead = place
for _, list in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    if list ~= KEYS[1] and string.sub(list, 1, #ARGV[2]) == ARGV[2] then
        ahead = ahead + math.min(place, redis.call('LLEN', list))
    end
    for i = 3, #ARGV do
        if string.sub(list, 1, #ARGV[i]) == ARGV[i] then ahead = ahead + redis.call('LLEN', list) end
    end
end
return ahead + 1
"""

# KEYS: RQ's set of queues. ARGV: prefixes of the lanes' lists. Returns list, length, list, length … of what is not empty.
WAITING = """
local found = {}
for _, list in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    for i = 1, #ARGV do
        if string.sub(list, 1, #ARGV[i]) == ARGV[i] then
            local waiting = redis.call('LLEN', list)
            if waiting > 0 then
                found[#found + 1] = list
                found[#found + 1] = waiting
            end
        end
    end
end
return found
"""
