namespace Diffract.Formats.Parquet;

/// <summary>Puts the entries of a column's leaves together to the value of a row: strings, lists, structs.</summary>
sealed class RowAssembly
{
    readonly ParquetNode _column;
    readonly ColumnReader[] _leaves;
    readonly List<ColumnEntry>[] _entries;

    /// <param name="column">The column.</param>
    /// <param name="leaves">Readers of those leaves that are wanted.</param>
    public RowAssembly(ParquetNode column, ColumnReader[] leaves)
    {
        (_column, _leaves) = (column, leaves);
        _entries = [.. leaves.Select(_ => new List<ColumnEntry>())];
    }

    /// <summary>The value of the next row.</summary>
    public object? Next()
    {
        (int From, int To)[] ranges = new (int, int)[_leaves.Length];
        for (int i = 0; i < _leaves.Length; i++)
        {
            _leaves[i].NextRow(_entries[i]);
            ranges[i] = (0, _entries[i].Count);
        }

        return Value(_column, 0, _leaves.Length, ranges, inList: false);
    }

    /// <summary>The value of a node, whose leaves are those from <paramref name="first"/> to before <paramref name="end"/>, in the entries of one instance of its parent.</summary>
    object? Value(ParquetNode node, int first, int end, (int From, int To)[] ranges, bool inList)
    {
        if (node.Repetition == ParquetRepetition.Repeated && !inList)
        {
            return Items(node, node, first, end, ranges);
        }

        ColumnEntry head = _entries[first][ranges[first].From];
        if (node.Repetition == ParquetRepetition.Optional && head.Defined < node.Defined)
        {
            return null;
        }

        if (node.Type is not null)
        {
            return head.Value;
        }

        if (node.IsList && node.Children is [{ Repetition: ParquetRepetition.Repeated } repeated])
        {
            // A list's items are the one member of the repeated group, except where that group is itself what is listed.
            bool wrapped = repeated is { Type: null, Children.Count: 1 } && repeated.Name != "array" && repeated.Name != node.Name + "_tuple";
            return Items(repeated, wrapped ? repeated.Children[0] : repeated, first, end, ranges);
        }

        Dictionary<string, object?> members = new(node.Children.Count);
        int at = first;
        foreach (ParquetNode child in node.Children)
        {
            int next = at;
            while (next < end && Below(child, _leaves[next].Leaf))
            {
                next++;
            }

            if (next > at)
            {
                members[child.Name] = Value(child, at, next, ranges, inList: false);
            }

            at = next;
        }

        return members;
    }

    object?[] Items(ParquetNode node, ParquetNode item, int first, int end, (int From, int To)[] ranges)
    {
        if (_entries[first][ranges[first].From].Defined < node.Defined)
        {
            return [];
        }

        List<object?> items = [];
        (int From, int To)[] at = [.. ranges];
        while (at[first].From < ranges[first].To)
        {
            for (int l = first; l < end; l++)
            {
                int to = at[l].From < ranges[l].To ? at[l].From + 1 : throw Uneven(node);
                while (to < ranges[l].To && _entries[l][to].Repeated > node.Repeated)
                {
                    to++;
                }

                at[l].To = to;
            }

            items.Add(Value(item, first, end, at, inList: item == node));
            for (int l = first; l < end; l++)
            {
                at[l].From = at[l].To;
            }
        }

        return Enumerable.Range(first, end - first).All(l => at[l].From == ranges[l].To) ? [.. items] : throw Uneven(node);
    }

    static bool Below(ParquetNode node, ParquetNode leaf) => node == leaf || node.Children.Any(c => Below(c, leaf));

    static InvalidDataException Uneven(ParquetNode node) => new($"the members of the list {node.Name} have different lengths");
}
