using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using Diffract.Training;

namespace Diffract.Tests.Training;

public sealed class TensorBoardEventsTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>CRC-32C of "123456789" is E3069283; turned right by 15 it is 2507C60D, and plus A282EAD8 C78AB0E5.</summary>
    [Fact]
    public void The_masked_checksum_is_the_published_one() => Assert.Equal(0xC78AB0E5u, TensorBoardEvents.MaskedCrc("123456789"u8));

    /// <summary>Worked by hand: step 300 as AC 02; Summary of one Value of 17 bytes, tag "train/loss" and 1.5 as 00 00 C0 3F.</summary>
    [Fact]
    public void An_event_has_the_bytes_of_the_published_wire_format()
    {
        using (TensorBoardEvents events = new(Events, _folder.File("log.jsonl", "")))
        {
            events.Write("{\"step\":300,\"loss\":1.5,\"aux\":null}"u8);
        }

        byte[][] records = Records(File.ReadAllBytes(Events));
        Assert.Equal([0x1A, 13, .. "brain.Event:2"u8], records[0][9..]);
        Assert.Equal([0x10, 0xAC, 0x02, 0x2A, 19, 0x0A, 17, 0x0A, 10, .. "train/loss"u8, 0x15, 0x00, 0x00, 0xC0, 0x3F], records[1][9..]);
        Assert.Equal(0x09, records[1][0]);
        double written = (DateTime.UtcNow - DateTime.UnixEpoch).TotalSeconds - BinaryPrimitives.ReadDoubleLittleEndian(records[1].AsSpan(1));
        Assert.InRange(written, 0, 600);
    }

    /// <summary>What a resumed run writes: the kept part of the log once, then the new steps, and the same numbers as the log.</summary>
    [Fact]
    public void A_resumed_log_has_every_step_once_with_the_numbers_of_the_log()
    {
        string path = Path.Combine(_folder.Path, "log.jsonl");
        long keep;
        using (TrainingLog log = new(path, 0, tensorBoard: true))
        {
            log.Write(Record(0));
            log.Write(Record(1));
            log.Flush();
            keep = log.Length;
            log.Write(Record(2));
            log.Write(Record(3));
        }

        using (TrainingLog log = new(path, keep, tensorBoard: true))
        {
            log.Write(Record(2));
            log.Write(3, new ValidationResult(10, 0.5, 0.25, [0.75, double.NaN, -0.5], 3, 0, 1, 2, 4, [1]));
        }

        (long Step, Dictionary<string, float> Values)[] events = [.. Records(File.ReadAllBytes(Events)).Skip(1).Select(Event)];
        Assert.Equal([0, 1, 2, 3], events.Select(e => e.Step));
        string[] lines = File.ReadAllLines(path);
        for (int i = 0; i < 3; i++)
        {
            Dictionary<string, float> wanted = JsonNode.Parse(lines[i])!.AsObject().Where(p => p.Key != "step" && p.Value is not null).ToDictionary(p => "train/" + p.Key, p => (float)p.Value!);
            Assert.Equal(wanted, events[i].Values);
            Assert.DoesNotContain("train/sparsity", events[i].Values.Keys);
        }

        Assert.Equal((0.75f, -0.5f), (events[3].Values["validation/fve_by_model/0"], events[3].Values["validation/fve_by_model/2"]));
        Assert.Equal(0.5f, events[3].Values["validation/fve_pooled"]);

        // Without the option there is none, and none from before that the log no longer has.
        new TrainingLog(path, 0).Dispose();
        Assert.False(File.Exists(Events));
    }

    string Events => Path.Combine(_folder.Path, TensorBoardEvents.FileName);

    static StepRecord Record(long step) => new(step, 1.25 + step, 2, 3, double.NaN, 0.125, -1, 4, 32, 0.1, 1e-3, 31.5);

    /// <summary>An independent reader: frames with both checksums, bit by bit over the reversed polynomial.</summary>
    static byte[][] Records(byte[] file)
    {
        List<byte[]> records = [];
        for (int at = 0; at < file.Length;)
        {
            int length = (int)BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(at));
            Assert.Equal(Masked(file.AsSpan(at, 8)), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 8)));
            byte[] data = file[(at + 12)..(at + 12 + length)];
            Assert.Equal(Masked(data), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 12 + length)));
            records.Add(data);
            at += 16 + length;
        }

        return [.. records];
    }

    static uint Masked(ReadOnlySpan<byte> data)
    {
        uint crc = ~0u;
        foreach (byte b in data)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78 : crc >> 1;
            }
        }

        crc = ~crc;
        return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
    }

    static (long Step, Dictionary<string, float> Values) Event(byte[] data)
    {
        long step = 0;
        Dictionary<string, float> values = [];
        foreach ((int field, byte[] bytes, ulong number) in Fields(data))
        {
            step = field == 2 ? (long)number : step;
            foreach ((_, byte[] value, _) in field == 5 ? Fields(bytes) : [])
            {
                (int Field, byte[] Bytes, ulong Number)[] parts = [.. Fields(value)];
                values.Add(Encoding.UTF8.GetString(parts.Single(p => p.Field == 1).Bytes), BinaryPrimitives.ReadSingleLittleEndian(parts.Single(p => p.Field == 2).Bytes));
            }
        }

        return (step, values);
    }

    static IEnumerable<(int Field, byte[] Bytes, ulong Number)> Fields(byte[] data)
    {
        int at = 0;
        ulong Number()
        {
            ulong value = 0;
            for (int shift = 0; ; shift += 7)
            {
                value |= (ulong)(data[at] & 0x7f) << shift;
                if (data[at++] < 0x80)
                {
                    return value;
                }
            }
        }

        while (at < data.Length)
        {
            int key = (int)Number();
            ulong number = (key & 7) == 0 ? Number() : 0;
            int length = (key & 7) switch { 0 => 0, 1 => 8, 2 => (int)Number(), 5 => 4, _ => throw new InvalidOperationException($"wire type {key & 7}") };
            yield return (key >> 3, data[at..(at + length)], number);
            at += length;
        }
    }
}
