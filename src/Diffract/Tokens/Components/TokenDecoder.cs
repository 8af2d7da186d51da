using System.Globalization;
using System.Text;

namespace Diffract.Tokens.Components;

/// <summary>One step from tokens to text.</summary>
abstract class DecodeStep
{
    public abstract List<string> Apply(List<string> tokens);
}

/// <summary>Each occurrence of a text in a token becomes another.</summary>
sealed class ReplaceStep(string from, string to) : DecodeStep
{
    public override List<string> Apply(List<string> tokens) => tokens.ConvertAll(t => t.Replace(from, to, StringComparison.Ordinal));
}

/// <summary>All tokens become one.</summary>
sealed class FuseStep : DecodeStep
{
    public override List<string> Apply(List<string> tokens) => [string.Concat(tokens)];
}

/// <summary>Runs of byte tokens become the text that the bytes are, or a replacement character for each byte where they are no UTF-8.</summary>
sealed class ByteFallbackStep : DecodeStep
{
    static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    public override List<string> Apply(List<string> tokens)
    {
        List<string> result = new(tokens.Count);
        List<byte> bytes = [];
        foreach (string token in tokens)
        {
            if (token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
                && byte.TryParse(token.AsSpan(token[3] == '+' ? 4 : 3, token[3] == '+' ? 1 : 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value))
            {
                bytes.Add(value);
                continue;
            }

            Flush();
            result.Add(token);
        }

        Flush();
        return result;

        void Flush()
        {
            if (bytes.Count == 0)
            {
                return;
            }

            try
            {
                result.Add(Strict.GetString([.. bytes]));
            }
            catch (DecoderFallbackException)
            {
                result.AddRange(Enumerable.Repeat("\uFFFD", bytes.Count));
            }

            bytes.Clear();
        }
    }
}

/// <summary>All tokens' byte characters become the text that the bytes are; a token with any other character stands for itself.</summary>
sealed class ByteLevelStep : DecodeStep
{
    public override List<string> Apply(List<string> tokens)
    {
        List<byte> all = [], bytes = [];
        foreach (string token in tokens)
        {
            bytes.Clear();
            foreach (char c in token)
            {
                if (!ByteAlphabet.TryByte(c, out byte value))
                {
                    bytes.Clear();
                    bytes.AddRange(System.Text.Encoding.UTF8.GetBytes(token));
                    break;
                }

                bytes.Add(value);
            }

            all.AddRange(bytes);
        }

        return [System.Text.Encoding.UTF8.GetString([.. all])];
    }
}

/// <summary>A character is taken off each token, so many times at most at its start and at its end.</summary>
sealed class StripStep(string content, int start, int stop) : DecodeStep
{
    public override List<string> Apply(List<string> tokens) => tokens.ConvertAll(Strip);

    string Strip(string token)
    {
        int from = 0, to = token.Length;
        for (int i = 0; i < start && token.AsSpan(from).StartsWith(content, StringComparison.Ordinal); i++)
        {
            from += content.Length;
        }

        for (int i = 0; i < stop && token.AsSpan(from, to - from).EndsWith(content, StringComparison.Ordinal); i++)
        {
            to -= content.Length;
        }

        return token[from..to];
    }
}

/// <summary>The replacement character becomes a space; in the first token, where one was put before the text, nothing.</summary>
sealed class MetaspaceStep(string replacement, bool prepended) : DecodeStep
{
    public override List<string> Apply(List<string> tokens)
        => [.. tokens.Select((t, i) => t.Replace(replacement, i == 0 && prepended ? "" : " ", StringComparison.Ordinal))];
}
