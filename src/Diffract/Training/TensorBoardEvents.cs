using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;

namespace Diffract.Training;

/// <summary>
/// The lines of a training log as an event file that TensorBoard reads: TFRecord frames (length, masked CRC-32C of the length, data, masked CRC-32C of the data) around protobuf Event messages
/// { 1: wall_time double, 2: step int64, 3: file_version string, 5: Summary { 1: Value { 1: tag string, 2: simple_value float } } }. A line is an event.
/// </summary>
public sealed class TensorBoardEvents : IDisposable
{
    /// <summary>TensorBoard takes every file with "tfevents" in its name; one fixed name, so that a resumed run has one file.</summary>
    public const string FileName = "events.out.tfevents.diffract";

    const int Varint = 0;
    const int Fixed64 = 1;
    const int Counted = 2;
    const int Fixed32 = 5;

    readonly FileStream _file;
    readonly Message _event = new();
    readonly Message _summary = new();
    readonly Message _value = new();

    /// <summary>Begins the file anew with what the log holds already: a resumed run has no step twice, and a file that is asked for late has all of them.</summary>
    /// <param name="path">Where.</param>
    /// <param name="logPath"><c>log.jsonl</c>, cut to what is valid.</param>
    public TensorBoardEvents(string path, string logPath)
    {
        _file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, 1 << 16);
        Begin();
        _event.Key(3, Counted);
        _event.Bytes("brain.Event:2"u8);
        Frame(_event.Written);
        using StreamReader log = new(new FileStream(logPath, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        while (log.ReadLine() is { } line)
        {
            Write(Encoding.UTF8.GetBytes(line));
        }
    }

    /// <summary>Adds a line of the log. What is no number in it is left out.</summary>
    public void Write(ReadOnlySpan<byte> line)
    {
        _summary.Clear();
        long step = 0;
        int element = -1;
        ReadOnlySpan<byte> name = default;
        Utf8JsonReader reader = new(line);
        while (reader.Read())
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.PropertyName:
                    name = reader.ValueSpan;
                    break;
                case JsonTokenType.StartArray:
                    element = 0;
                    break;
                case JsonTokenType.EndArray:
                    element = -1;
                    break;
                case JsonTokenType.Number when name.SequenceEqual("step"u8):
                    step = reader.GetInt64();
                    break;
                case JsonTokenType.Number:
                    Add(name, element < 0 ? -1 : element++, (float)reader.GetDouble());
                    break;
                case JsonTokenType.Null when element >= 0:
                    element++;
                    break;
                default:
                    break;
            }
        }

        Begin();
        _event.Key(2, Varint);
        _event.Number((ulong)step);
        _event.Key(5, Counted);
        _event.Bytes(_summary.Written);
        Frame(_event.Written);
    }

    /// <summary>Hands what was written to the system, so that a running TensorBoard sees it.</summary>
    public void Flush() => _file.Flush();

    public void Dispose() => _file.Dispose();

    /// <summary>CRC-32C (Castagnoli), turned right by 15 bits and moved by a constant, as TFRecord stores it.</summary>
    public static uint MaskedCrc(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in data)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return BitOperations.RotateRight(~crc, 15) + 0xa282ead8;
    }

    /// <summary>A Value: "train/loss", "validation/fve_by_model/0".</summary>
    void Add(ReadOnlySpan<byte> name, int element, float value)
    {
        bool validation = name.StartsWith("val_"u8);
        Span<byte> tag = stackalloc byte[name.Length + 32];
        ReadOnlySpan<byte> prefix = validation ? "validation/"u8 : "train/"u8;
        name = validation ? name[4..] : name;
        prefix.CopyTo(tag);
        name.CopyTo(tag[prefix.Length..]);
        int length = prefix.Length + name.Length;
        if (element >= 0)
        {
            tag[length++] = (byte)'/';
            element.TryFormat(tag[length..], out int digits, provider: CultureInfo.InvariantCulture);
            length += digits;
        }

        _value.Clear();
        _value.Key(1, Counted);
        _value.Bytes(tag[..length]);
        _value.Key(2, Fixed32);
        _value.Bits32(value);
        _summary.Key(1, Counted);
        _summary.Bytes(_value.Written);
    }

    void Begin()
    {
        _event.Clear();
        _event.Key(1, Fixed64);
        _event.Bits64((DateTime.UtcNow - DateTime.UnixEpoch).TotalSeconds);
    }

    void Frame(ReadOnlySpan<byte> data)
    {
        Span<byte> head = stackalloc byte[12], tail = stackalloc byte[4];
        BinaryPrimitives.WriteUInt64LittleEndian(head, (ulong)data.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(head[8..], MaskedCrc(head[..8]));
        BinaryPrimitives.WriteUInt32LittleEndian(tail, MaskedCrc(data));
        _file.Write(head);
        _file.Write(data);
        _file.Write(tail);
    }

    /// <summary>The bytes of a protobuf message.</summary>
    sealed class Message
    {
        byte[] _bytes = new byte[1024];
        int _length;

        public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _length);

        public void Clear() => _length = 0;

        public void Key(int field, int wire) => Number((ulong)((field << 3) | wire));

        /// <summary>Seven bits a byte, the lowest first, the high bit where more follow.</summary>
        public void Number(ulong value)
        {
            for (; value > 0x7f; value >>= 7)
            {
                Take(1)[0] = (byte)(value | 0x80);
            }

            Take(1)[0] = (byte)value;
        }

        public void Bits32(float value) => BinaryPrimitives.WriteSingleLittleEndian(Take(sizeof(float)), value);

        public void Bits64(double value) => BinaryPrimitives.WriteDoubleLittleEndian(Take(sizeof(double)), value);

        public void Bytes(ReadOnlySpan<byte> value)
        {
            Number((ulong)value.Length);
            value.CopyTo(Take(value.Length));
        }

        Span<byte> Take(int count)
        {
            if (_length + count > _bytes.Length)
            {
                Array.Resize(ref _bytes, 2 * (_length + count));
            }

            _length += count;
            return _bytes.AsSpan(_length - count, count);
        }
    }
}
