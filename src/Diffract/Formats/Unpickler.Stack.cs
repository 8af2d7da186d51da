using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>The stack, the memo, the calls.</summary>
sealed unsafe partial class Unpickler
{
    bool Call(byte op)
    {
        switch (op)
        {
            case (byte)'0': // POP
                return Pop();
            case (byte)'1': // POP_MARK
                TakeToMark();
                return true;
            case (byte)'2': // DUP
                return Push(Top());
            case (byte)'q': // BINPUT
                return Remember(Bytes(1)[0]);
            case (byte)'r': // LONG_BINPUT
                return Remember(Length(4));
            case 0x94: // MEMOIZE
                return Remember(_memo.Count);
            case (byte)'h': // BINGET
                return Recall(Bytes(1)[0]);
            case (byte)'j': // LONG_BINGET
                return Recall(Length(4));
            case (byte)'c': // GLOBAL
                string module = Line();
                return Push(Named(module, Line()));
            case 0x93: // STACK_GLOBAL
                return Take(2) is [string from, string name] ? Push(Named(from, name)) : throw Broken("a global without a name");
            case (byte)'R': // REDUCE
            case 0x81: // NEWOBJ
                return Take(2) is [PickleGlobal called, PickleTuple arguments] ? Push(Guard(called, arguments)) : throw Broken("it calls what is not a function");
            case (byte)'b': // BUILD: attributes of an OrderedDict (a module's _metadata), which say nothing about tensors
                Take(1);
                return Top() is PickleDict or TorchTensor ? true : throw Broken("it gives attributes to what is not a dict");
            case (byte)'Q': // BINPERSID
                return Push(persistent(Take(1)[0]));
            default:
                return false;
        }
    }

    PickleGlobal Named(string module, string name)
        => TorchGlobals.Find(module, name) ?? throw Broken($"it names {Shown($"{module}.{name}")}, which is not on the list of what may be read");

    object? Guard(PickleGlobal called, PickleTuple arguments)
    {
        // A call may copy its arguments, and a memo can hand the same long one to many calls.
        Charge(arguments.Items.Sum(a => a is string text ? text.Length : a is List<object?> list ? list.Count : 1L));
        try
        {
            return TorchGlobals.Call(called, arguments.Items, out object? result) ? result : throw Broken($"arguments of {called.FullName} that it does not take");
        }
        catch (FormatException e)
        {
            throw Broken(e.Message);
        }
    }

    void Charge(long operations)
    {
        _operations += operations;
        if (_operations > MostOperations)
        {
            throw Broken($"more than {MostOperations} opcodes");
        }
    }

    bool Push(object? value)
    {
        _stack.Add(value);
        return true;
    }

    object? Top() => _stack.Count > Floor ? _stack[^1] : throw Broken("it takes from an empty stack");

    bool Pop()
    {
        // As in Python, a mark on top is popped before a value.
        if (_marks.Count > 0 && _marks.Peek() == _stack.Count)
        {
            _marks.Pop();
            return true;
        }

        Take(1);
        return true;
    }

    /// <summary>Values below it belong to an outer mark.</summary>
    int Floor => _marks.Count > 0 ? _marks.Peek() : 0;

    object?[] Take(int count)
    {
        if (_stack.Count - Floor < count)
        {
            throw Broken("it takes from an empty stack");
        }

        object?[] taken = CollectionsMarshal.AsSpan(_stack)[^count..].ToArray();
        _stack.RemoveRange(_stack.Count - count, count);
        return taken;
    }

    object?[] TakeToMark()
    {
        object?[] taken = Take(_marks.Count > 0 ? _stack.Count - _marks.Peek() : throw Broken("it goes back to a mark that is not there"));
        _marks.Pop();
        return taken;
    }

    bool Remember(long at)
    {
        _memo[at] = Top();
        return true;
    }

    bool Recall(long at) => _memo.TryGetValue(at, out object? value) ? Push(value) : throw Broken($"it recalls value {at}, which it has not put down");

    ReadOnlySpan<byte> Bytes(long count)
    {
        if (count > LongestText)
        {
            throw Broken($"a value of {count} bytes");
        }

        if (count > length - Position)
        {
            throw Broken($"it goes on for {count} bytes at a place where {length - Position} are left");
        }

        ReadOnlySpan<byte> bytes = new(data + Position, (int)count);
        Position += count;
        return bytes;
    }

    /// <summary>A length of this many bytes.</summary>
    long Length(int bytes)
    {
        ReadOnlySpan<byte> read = Bytes(bytes);
        ulong value = bytes switch
        {
            1 => read[0],
            4 => BinaryPrimitives.ReadUInt32LittleEndian(read),
            _ => BinaryPrimitives.ReadUInt64LittleEndian(read),
        };
        return value <= long.MaxValue ? (long)value : throw Broken($"a value of {value} bytes");
    }

    string String(long bytes)
    {
        try
        {
            return Utf8.GetString(Bytes(bytes));
        }
        catch (DecoderFallbackException)
        {
            throw Broken("a text that is not UTF-8");
        }
    }

    string Line()
    {
        int end = new ReadOnlySpan<byte>(data + Position, (int)Math.Min(length - Position, 1 << 12)).IndexOf((byte)'\n');
        if (end < 0)
        {
            throw Broken("a name without an end");
        }

        string line = String(end);
        Position++;
        return line;
    }

    /// <summary>As much of a name as fits in a message, in one line.</summary>
    static string Shown(string name) => string.Concat(name.Take(80).Select(c => char.IsControl(c) ? '?' : c));

    DiffractException Broken(string what) => new($"{path} is not a pickle that may be read (byte {Position}): {what}");
}
