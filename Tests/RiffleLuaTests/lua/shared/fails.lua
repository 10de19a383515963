-- fails(expected, fn, ...): fn(...) has to raise an error whose message holds `expected`. Returns the message.
return function(expected, fn, ...)
  local ok, message = pcall(fn, ...)
  assert(not ok, "no error, but wanted: " .. expected)
  message = tostring(message)
  assert(message:find(expected, 1, true), ("wanted: %s\ngot: %s"):format(expected, message))
  return message
end
