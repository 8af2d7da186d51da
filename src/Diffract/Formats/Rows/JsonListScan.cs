namespace Diffract.Formats.Rows;

/// <summary>How deep in a JSON list's brackets and strings a reading is; finds where its elements end.</summary>
sealed class JsonListScan
{
    /// <summary>What a stretch of bytes ends with.</summary>
    public enum Cut
    {
        /// <summary>Nothing yet.</summary>
        None,

        /// <summary>The bracket that opens the list, or closes an empty one.</summary>
        Bracket,

        /// <summary>The comma after an element.</summary>
        Element,

        /// <summary>The bracket that closes the list after an element.</summary>
        Last,

        /// <summary>Something that does not belong to a list.</summary>
        Strange,
    }

    int _depth;
    bool _string;
    bool _escaped;
    bool _some;
    bool _comma;

    /// <summary>Whether the list has been closed.</summary>
    public bool Ended { get; private set; }

    /// <summary>Takes bytes up to the next cut, or all.</summary>
    public Cut Take(ReadOnlySpan<byte> bytes, out int taken)
    {
        for (taken = 0; taken < bytes.Length;)
        {
            if (_string)
            {
                InString(bytes, ref taken);
                continue;
            }

            if (One(bytes[taken++]) is var cut and not Cut.None)
            {
                return cut;
            }
        }

        return Cut.None;
    }

    void InString(ReadOnlySpan<byte> bytes, ref int taken)
    {
        if (_escaped)
        {
            _escaped = false;
            taken++;
            return;
        }

        int at = bytes[taken..].IndexOfAny((byte)'"', (byte)'\\');
        if (at < 0)
        {
            taken = bytes.Length;
            return;
        }

        _escaped = bytes[taken + at] == (byte)'\\';
        _string = _escaped;
        taken += at + 1;
    }

    Cut One(byte b)
    {
        if (b is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n')
        {
            return Cut.None;
        }

        if (Ended)
        {
            return Cut.Strange;
        }

        switch (b)
        {
            case (byte)'[' or (byte)'{':
                _depth++;
                if (_depth == 1)
                {
                    return Cut.Bracket;
                }

                break;
            case (byte)']' or (byte)'}':
                _depth--;
                if (_depth == 0)
                {
                    Ended = true;
                    return b == (byte)'}' || (_comma && !_some) ? Cut.Strange : _some ? Cut.Last : Cut.Bracket;
                }

                break;
            case (byte)',' when _depth == 1:
                bool some = _some;
                (_some, _comma) = (false, true);
                return some ? Cut.Element : Cut.Strange;
            case (byte)'"':
                _string = true;
                break;
        }

        _some |= _depth > 0;
        return Cut.None;
    }
}
