using System.Numerics;
using System.Runtime.CompilerServices;

namespace Diffract.Tokens.Components;

/// <summary>Pairs of ids that merge, with rank and merged id: open addressing in two arrays, since it is asked for every pair of every word.</summary>
sealed class MergeTable
{
    const ulong Free = ulong.MaxValue;

    readonly ulong[] _keys;
    readonly (int Rank, int Id)[] _values;
    readonly int _shift;

    public MergeTable(int pairs)
    {
        int slots = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, Math.Min(pairs, 1 << 28) * 2));
        _keys = new ulong[slots];
        _keys.AsSpan().Fill(Free);
        _values = new (int Rank, int Id)[slots];
        _shift = 64 - BitOperations.Log2((uint)slots);
    }

    /// <summary>Rank of a pair that does not merge.</summary>
    public const int None = int.MaxValue;

    /// <summary>A later pair of the same ids takes the place of an earlier one.</summary>
    public void Set(int left, int right, int rank, int id)
    {
        ulong key = Key(left, right);
        uint slot = Slot(key);
        while (_keys[slot] != Free && _keys[slot] != key)
        {
            slot = (slot + 1) & (uint)(_keys.Length - 1);
        }

        _keys[slot] = key;
        _values[slot] = (rank, id);
    }

    /// <summary>Rank and id of the merged pair; the rank is <see cref="None"/> where it does not merge.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public (int Rank, int Id) Find(int left, int right)
    {
        ulong key = Key(left, right);
        ulong[] keys = _keys;
        for (uint slot = Slot(key); slot < (uint)keys.Length; slot = (slot + 1) & (uint)(keys.Length - 1))
        {
            if (keys[slot] == key)
            {
                return _values[slot];
            }

            if (keys[slot] == Free)
            {
                break;
            }
        }

        return (None, -1);
    }

    static ulong Key(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    uint Slot(ulong key) => (uint)((key * 0x9E3779B97F4A7C15) >> _shift);
}
