"""What the journal does inside of Redis: each change is one script, whole or not at all.

Rules of this file
- Every script but OPEN checks the owner's token before anything else, and answers 'fenced' or 'lost' without a change.
- A script that may have run already, its reply lost, recognises that: sending it again changes nothing.
- A server that is full or read-only refuses a script's first write, so a script that has changed something ends.

KEYS: the owner's hash, the stream (redis_journal.py has the picture). The answer's first item is a word.
Numbers are compared as texts of digits: Lua's are doubles, which are exact up to 2^53 only.
"""

from __future__ import annotations

from persistence.redis_server import Script

_LESS = "local function less(a, b) return #a < #b or (#a == #b and a < b) end\n"

# A stream without an entry, whose next one may end at any position above this.
_EMPTY = """
local function empty(stream, position)
    redis.call('DEL', stream)
    redis.call('XADD', stream, position .. '-1', 'f', '')
    redis.call('XDEL', stream, position .. '-1')
end
"""

_OWNED = """
local m = redis.call('HMGET', KEYS[1], 'token', 'epoch', 'last', 'mark')
if not m[1] then return {'lost'} end
if m[1] ~= ARGV[1] then return {'fenced', m[2]} end
"""

OPEN = Script(
    _LESS
    + _EMPTY
    + """
local token, epoch, format, layout, id, expected, after = unpack(ARGV)
local m = redis.call('HMGET', KEYS[1], 'format', 'layout', 'id', 'epoch', 'last', 'mark')
if not m[1] and redis.call('EXISTS', KEYS[2]) == 1 then return {'ownerless'} end
if expected ~= '' and m[3] ~= expected then return {'other'} end
if not m[1] then
    if after ~= '0' then empty(KEYS[2], after) end
    redis.call('HSET', KEYS[1], 'format', format, 'layout', layout, 'id', id, 'epoch', epoch, 'token', token,
               'last', after, 'mark', '')
    return {'ok', after, id, ''}
end
if m[1] ~= format or m[2] ~= layout then return {'mismatch', m[1], m[2]} end
if less(epoch, m[4]) then return {'fenced', m[4]} end
if m[5] ~= '0' and redis.call('EXISTS', KEYS[2]) == 0 then return {'streamless', m[5]} end
if m[5] == '0' and after ~= '0' then
    empty(KEYS[2], after)
    redis.call('HSET', KEYS[1], 'last', after)
    m[5] = after
end
redis.call('HSET', KEYS[1], 'epoch', epoch, 'token', token)
return {'ok', m[5], m[3], m[6]}
"""
)

# The epoch comes along so that a server which lost BEGIN_EPOCH in a crash has it again before records of that epoch.
APPEND = Script(
    _LESS
    + _OWNED
    + """
local token, epoch, before, before_mark, last, mark, entry, frame = unpack(ARGV)
if m[3] == before and m[4] == before_mark then
    redis.call('XADD', KEYS[2], entry, 'f', frame)
    redis.call('HSET', KEYS[1], 'last', last, 'mark', mark)
    if less(m[2], epoch) then redis.call('HSET', KEYS[1], 'epoch', epoch) end
    return {'ok', last, mark}
end
return {'at', m[3], m[4]}
"""
)

BEGIN_EPOCH = Script(
    _LESS
    + _OWNED
    + """
if less(ARGV[2], m[2]) then return {'fenced', m[2]} end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
return {'ok'}
"""
)

TRIM = Script(
    _OWNED
    + """
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
return {'ok', m[3], oldest[1] and oldest[1][1] or ''}
"""
)

# A stream takes no id below the last one it gave, unless XSETID says otherwise: with what was deleted counted in
# (since Redis 7) or without. A server that refuses both gets the entries that stay written anew, which takes longer.
# base: the position before the frame, or `position` when there is none.
CUT = Script(
    _LESS
    + _EMPTY
    + _OWNED
    + """
local token, epoch, before, before_mark, position, mark, above, base, entry, frame = unpack(ARGV)
if less(epoch, m[2]) then return {'fenced', m[2]} end
if m[3] == position and m[4] == mark then return {'ok'} end
if m[3] ~= before or m[4] ~= before_mark then return {'at', m[3]} end
while true do
    local newest = redis.call('XREVRANGE', KEYS[2], '+', above, 'COUNT', 1)
    if not newest[1] then break end
    redis.call('XDEL', KEYS[2], newest[1][1])
end
local top = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if top[1] then
    local id = top[1][1]
    local done = redis.pcall('XSETID', KEYS[2], id, 'ENTRIESADDED', redis.call('XLEN', KEYS[2]), 'MAXDELETEDID', id)
    if done.err then done = redis.pcall('XSETID', KEYS[2], id) end
    if done.err then
        local kept = redis.call('XRANGE', KEYS[2], '-', '+')
        redis.call('DEL', KEYS[2])
        for _, entry in ipairs(kept) do redis.call('XADD', KEYS[2], entry[1], unpack(entry[2])) end
    end
else
    empty(KEYS[2], base)
end
if entry ~= '' then redis.call('XADD', KEYS[2], entry, 'f', frame) end
redis.call('HSET', KEYS[1], 'epoch', epoch, 'last', position, 'mark', mark)
return {'ok'}
"""
)

RESTART = Script(
    _LESS
    + _EMPTY
    + _OWNED
    + """
local token, epoch, after = unpack(ARGV)
if less(epoch, m[2]) then return {'fenced', m[2]} end
empty(KEYS[2], after)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'last', after, 'mark', '')
return {'ok'}
"""
)
