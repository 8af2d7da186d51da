using System.Diagnostics.CodeAnalysis;

namespace Diffract.Compute;

/// <summary>A kernel was called with shapes that do not fit together: a bug of the caller, never of the user's data.</summary>
public sealed class ShapeException(string operation, string rule, string got)
    : ArgumentException($"{operation}: {rule}; got {got}")
{
    /// <summary>Throws unless <paramref name="holds"/>.</summary>
    public static void Check([DoesNotReturnIf(false)] bool holds, string operation, string rule, string got)
    {
        if (!holds)
        {
            throw new ShapeException(operation, rule, got);
        }
    }
}
