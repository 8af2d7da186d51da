using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>
/// Reads a Python pickle (protocols 2 to 5, the opcodes that torch.save makes) into plain values: null, bool, long, BigInteger, double, string, byte[], List, PickleTuple, PickleDict, and what
/// <see cref="TorchGlobals"/> makes of the few names it knows. Nothing is executed or looked up: a name or an opcode outside the lists is an error that names it. Memory and time are bounded by the
/// length of the pickle and by <see cref="MostOperations"/>.
/// </summary>
sealed unsafe partial class Unpickler(string path, byte* data, long length, Func<object?, object?> persistent)
{
    /// <summary>Opcodes of one pickle. A state dict takes about thirty a tensor.</summary>
    public const int MostOperations = 8_000_000;

    /// <summary>Bytes of one text or number.</summary>
    const int LongestText = 1 << 26;

    /// <summary>Marks inside one another.</summary>
    const int Deepest = 1000;

    static readonly UTF8Encoding Utf8 = new(false, throwOnInvalidBytes: true);
    readonly List<object?> _stack = [];
    readonly Stack<int> _marks = new();
    readonly Dictionary<long, object?> _memo = [];
    long _operations;

    /// <summary>Byte after what has been read.</summary>
    public long Position { get; private set; }

    /// <summary>Reads the pickle that begins at <paramref name="position"/>, to its STOP.</summary>
    /// <exception cref="DiffractException">The pickle is damaged, or holds what is not allowed.</exception>
    public object? Load(long position)
    {
        Position = position;
        _stack.Clear();
        _marks.Clear();
        _memo.Clear();
        while (true)
        {
            Charge(1);
            byte op = Bytes(1)[0];
            if (op == '.')
            {
                return _stack.Count == 1 && _marks.Count == 0 ? _stack[0] : throw Broken($"it ends with {_stack.Count} values, wanted one");
            }

            if (!Constant(op) && !Text(op) && !Container(op) && !Call(op))
            {
                throw Broken($"opcode 0x{op:x2} is not allowed");
            }
        }
    }

    bool Constant(byte op)
    {
        switch (op)
        {
            case 0x80: // PROTO
                byte protocol = Bytes(1)[0];
                return protocol is >= 2 and <= 5 ? true : throw Broken($"protocol {protocol}, wanted 2 to 5");
            case 0x95: // FRAME: says only how much to read ahead
                Bytes(8);
                return true;
            case (byte)'N':
                return Push(null);
            case 0x88: // NEWTRUE
                return Push(true);
            case 0x89: // NEWFALSE
                return Push(false);
            case (byte)'J': // BININT
                return Push((long)BinaryPrimitives.ReadInt32LittleEndian(Bytes(4)));
            case (byte)'K': // BININT1
                return Push((long)Bytes(1)[0]);
            case (byte)'M': // BININT2
                return Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Bytes(2)));
            case (byte)'G': // BINFLOAT
                return Push(BinaryPrimitives.ReadDoubleBigEndian(Bytes(8)));
            case 0x8a: // LONG1
                return Integer(Bytes(Bytes(1)[0]));
            case 0x8b: // LONG4
                return Integer(Bytes(LongLength()));
            default:
                return false;
        }
    }

    // Python's own limit is none; nothing that torch writes needs more than ten bytes.
    int LongLength()
    {
        long bytes = Length(4);
        return bytes <= 4096 ? (int)bytes : throw Broken($"a number of {bytes} bytes");
    }

    bool Integer(ReadOnlySpan<byte> bytes)
    {
        BigInteger value = new(bytes);
        return value >= long.MinValue && value <= long.MaxValue ? Push((long)value) : Push(value);
    }

    bool Text(byte op)
    {
        switch (op)
        {
            case (byte)'X': // BINUNICODE
                return Push(String(Length(4)));
            case 0x8c: // SHORT_BINUNICODE
                return Push(String(Length(1)));
            case 0x8d: // BINUNICODE8
                return Push(String(Length(8)));
            case (byte)'U': // SHORT_BINSTRING: a text of Python 2
                return Push(String(Length(1)));
            case (byte)'T': // BINSTRING
                return Push(String(Length(4)));
            case (byte)'C': // SHORT_BINBYTES
                return Push(Bytes(Length(1)).ToArray());
            case (byte)'B': // BINBYTES
                return Push(Bytes(Length(4)).ToArray());
            case 0x8e: // BINBYTES8
            case 0x96: // BYTEARRAY8
                return Push(Bytes(Length(8)).ToArray());
            default:
                return false;
        }
    }

    bool Container(byte op)
    {
        switch (op)
        {
            case (byte)'(': // MARK
                _marks.Push(_stack.Count);
                return _marks.Count <= Deepest ? true : throw Broken($"more than {Deepest} values inside one another");
            case (byte)')': // EMPTY_TUPLE
                return Push(new PickleTuple([]));
            case 0x85: // TUPLE1
            case 0x86: // TUPLE2
            case 0x87: // TUPLE3
                return Push(new PickleTuple(Take(op - 0x84)));
            case (byte)'t': // TUPLE
                return Push(new PickleTuple(TakeToMark()));
            case (byte)']': // EMPTY_LIST
            case 0x8f: // EMPTY_SET
                return Push(new List<object?>());
            case (byte)'l': // LIST
            case 0x91: // FROZENSET
                return Push(new List<object?>(TakeToMark()));
            case (byte)'a': // APPEND
                return AddTo(Take(1));
            case (byte)'e': // APPENDS
            case 0x90: // ADDITEMS
                return AddTo(TakeToMark());
            case (byte)'}': // EMPTY_DICT
                return Push(new PickleDict());
            case (byte)'d': // DICT
                object?[] items = TakeToMark();
                Push(new PickleDict());
                return SetIn(items);
            case (byte)'s': // SETITEM
                return SetIn(Take(2));
            case (byte)'u': // SETITEMS
                return SetIn(TakeToMark());
            default:
                return false;
        }
    }

    bool AddTo(object?[] items)
    {
        if (Top() is not List<object?> list)
        {
            throw Broken("it adds to what is not a list");
        }

        list.AddRange(items);
        return true;
    }

    bool SetIn(object?[] items)
    {
        if (Top() is not PickleDict dictionary || items.Length % 2 != 0)
        {
            throw Broken("it sets items in what is not a dict, or half a pair");
        }

        for (int i = 0; i < items.Length; i += 2)
        {
            dictionary.Set(items[i], items[i + 1]);
        }

        return true;
    }
}
