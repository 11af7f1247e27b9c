-- Moves all records of a subject to its place under the next pepper, so that old tokens and stops keep their effect.
-- keys: bucket, ledger and counters of the old place, the same of the new place, store facts. args: store id, event id (8), field (8)
-- and bucket number (2) of the old place, the same of the new one, place as a forward record holds it (11).
redis.register_function('system_forward', function(keys, args)
  local event_id, old_field, old_bucket, new_field, new_bucket, place = unpack(args, 2)
  if #args ~= 7 or #event_id ~= 8 or #old_field ~= 8 or #old_bucket ~= 2 or #new_field ~= 8 or #new_bucket ~= 2 or #place ~= 11 or
    (keys[1] == keys[4] and old_field == new_field) then
    return fail('ARGUMENT', 'an argument is missing or has the wrong length, or both places are the same')
  end
  if redis.call('HGET', keys[7], 'store') ~= args[1] then return fail('FOREIGN', 'another store, or none') end
  local value = redis.call('HGET', keys[1], old_field) or ''
  if value == '' then return { 'absent', 0 } end
  if #value % RECORD ~= 0 then return fail('MALFORMED', 'records of another length stand there') end
  if unpack_record(value, 1).kind == KIND.forward then return { 'duplicate', 0 } end
  local target = redis.call('HGET', keys[4], new_field) or ''
  if #target % RECORD ~= 0 then return fail('MALFORMED', 'records of another length stand at the new place') end
  if #target > 0 and unpack_record(target, 1).kind == KIND.forward then
    return fail('FORWARDED', 'the new place is itself kept under a newer pepper')
  end
  if (#target + #value) / RECORD > RECORDS_MAX then return fail('FULL', 'too many records at the new place') end

  local _, facts = without(value, function(r) return r.kind ~= KIND.seal end)
  local head = struct.pack('>I4BBB', 0, VERSION_NIBBLE + KIND.forward, 16 + RANK.system, 0) .. place .. '\0'
  local sign = struct.pack('BBB', EVENT_VERSION, FORWARD_CODE, APPLIED) .. event_id .. old_bucket .. old_field .. head ..
    struct.pack('>I6I2', 0, 0)
  local sign_ms, sign_seq = append(keys[2], keys[3], sign, '', #facts)
  if not sign_ms then return sign_seq end
  local moved = 0
  for from = 1, #value, RECORD do
    local packed = string.sub(value, from, from + RECORD - 1)
    local new = unpack_record(packed, 1)
    local at, found = locate(target, key_of(struct.unpack('>I4BB', packed)))
    if new.kind == KIND.seal then
      if not found then target = put(target, at, false, packed) end
    else
      local old = found and unpack_record(target, at) or nil
      local applied = not old or supersedes(new, old)
      local sha = is_flagged(new.flags, FLAG.evidence) and string.rep('\0', 32) or '' -- the document stays with its event
      local event = struct.pack('BBB', EVENT_VERSION, FORWARD_CODE, applied and APPLIED or STALE) ..
        string.sub(event_id, 1, 6) .. struct.pack('>I2', moved) .. new_bucket .. new_field .. pack_head(new) ..
        struct.pack('>I6I2', old and old.ledger_ms or 0, old and old.ledger_seq or 0) .. sha
      local ms, seq = append(keys[5], keys[6], event, '', #facts - moved - 1)
      if not ms then -- it was the first: else there is room for all
        retract(keys[2], keys[3], sign_ms, sign_seq)
        return seq
      end
      local month = math.max(new.month, old and old.month or 0)
      target = put(target, at, found, pack_head(applied and new or old) .. struct.pack('>I6I2B', ms, seq, month))
      count(keys[3], new, -1)
      if applied then
        if old then count(keys[6], old, -1) end
        count(keys[6], new, 1)
      end
      moved = moved + 1
    end
  end
  raise(keys[6], 'newest_grant', tonumber(redis.call('HGET', keys[3], 'newest_grant') or '0'))
  redis.call('HSET', keys[4], new_field, target)
  redis.call('HSET', keys[1], old_field, head .. string.rep('\0', RECORD - #head))
  return { 'applied', moved }
end)
