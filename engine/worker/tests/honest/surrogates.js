'a\ud800'.isWellFormed() === false && [...'😀'].length === 1;
