namespace Diffract.Tests.Formats;

/// <summary>Damages bytes as disks, downloads and malice do: the same damage for the same seed on every machine.</summary>
sealed class Mutations(ulong seed)
{
    static readonly ulong[] Extremes = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF];
    static readonly byte[] Opcodes = "().0123NIJKMGXUTBCcdeahjqrtulsb]}Q\u0080\u0081\u0085\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u0093\u0094\u0095"u8.ToArray();
    ulong _state = seed * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03;

    /// <summary>A whole number from 0 to below <paramref name="limit"/> (SplitMix64).</summary>
    public int Next(int limit)
    {
        _state += 0x9E3779B97F4A7C15;
        ulong z = (_state ^ (_state >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return (int)((z ^ (z >> 31)) % (ulong)limit);
    }

    /// <summary>One to eight damages, one after another.</summary>
    public byte[] Damage(byte[] bytes)
    {
        byte[] result = [.. bytes];
        for (int i = 1 + Next(8); i > 0 && result.Length > 0; i--)
        {
            result = Once(result);
        }

        return result;
    }

    byte[] Once(byte[] bytes)
    {
        int at = Next(bytes.Length), length = Math.Min(1 + Next(16), bytes.Length - at);
        switch (Next(9))
        {
            case 0:
                bytes[at] ^= (byte)(1 << Next(8));
                return bytes;
            case 1:
                bytes[at] = (byte)Next(256);
                return bytes;
            case 2:
                bytes[at] = Opcodes[Next(Opcodes.Length)];
                return bytes;
            case 3:
                return [.. bytes[..at], .. bytes[(at + length)..]];
            case 4:
                return [.. bytes[..at], .. bytes[at..(at + length)], .. bytes[at..]];
            case 5:
                return bytes[..at];
            case 6:
                int from = Next(bytes.Length - length + 1);
                Array.Copy(bytes, from, bytes, at, length);
                return bytes;
            case 7:
                return [.. bytes[..at], (byte)Next(256), .. bytes[at..]];
            default:
                byte[] extreme = BitConverter.GetBytes(Extremes[Next(Extremes.Length)]);
                Array.Copy(extreme, 0, bytes, at, Math.Min(1 << Next(4), bytes.Length - at));
                return bytes;
        }
    }
}
