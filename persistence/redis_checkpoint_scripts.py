"""The checkpoint's changes in Redis as Lua: each looks at the owner's token first, and changes everything or nothing.

script   ARGV                                             reply
OPEN     token, then (found, ours) of format,             ok | changed: it isn't what was found any more
         identity and tables
PUT      token, chunk                                     ok
COMMIT   token, version, field, value, ...                ok | version: it has another one
DROP     token                                            ok

each but OPEN also: lost: there is no checkpoint | fenced: another owner's, with its epoch
"""

from __future__ import annotations

from persistence.redis_server import Script

OPEN = Script(
    """
local m = redis.call('HMGET', KEYS[1], 'format', 'identity', 'tables')
if (m[1] or '') ~= ARGV[2] or (m[2] or '') ~= ARGV[4] or (m[3] or '') ~= ARGV[6] then return {'changed'} end
if not m[1] then
    redis.call('HSET', KEYS[1], 'format', ARGV[3], 'identity', ARGV[5], 'tables', ARGV[7])
    redis.call('HSET', KEYS[1], 'epoch', '0', 'position', '0', 'version', '0')
end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
return {'ok'}
"""
)

PUT = Script(
    """
local m = redis.call('HMGET', KEYS[1], 'token', 'epoch')
if not m[1] then return {'lost'} end
if m[1] ~= ARGV[1] then return {'fenced', m[2]} end
redis.call('SET', KEYS[2], ARGV[2])
return {'ok'}
"""
)

COMMIT = Script(
    """
local m = redis.call('HMGET', KEYS[1], 'token', 'epoch', 'version')
if not m[1] then return {'lost'} end
if m[1] ~= ARGV[1] then return {'fenced', m[2]} end
if m[3] ~= ARGV[2] then return {'version', m[3]} end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return {'ok'}
"""
)

DROP = Script(
    """
local m = redis.call('HMGET', KEYS[1], 'token', 'epoch')
if not m[1] then return {'lost'} end
if m[1] ~= ARGV[1] then return {'fenced', m[2]} end
redis.call('UNLINK', unpack(KEYS, 2))
return {'ok'}
"""
)
