"""A bank: many tasks move money between accounts, and the sum stays the same. Usage: bank.py [directory]

Two transfers that read the same account cannot both succeed: the later commit meets a conflict, and the transfer
runs again with the new balance. An audit is a read-only transaction, which never conflicts.
"""

import asyncio
import random
import sys
import tempfile

from aidb import aio

ACCOUNTS = [b"account/%02d" % number for number in range(10)]
DEPOSIT = 100
TASKS = 8
TRANSFERS = 25


class Refused(Exception):
    """There is not enough money in an account."""


async def transfer(db, source, target, amount):
    async def move(transaction):
        balance, other = await transaction.get_many([source, target])
        if int(balance) < amount:
            # The transaction is rolled back, and the exception passed on.
            raise Refused
        await transaction.put(source, b"%d" % (int(balance) - amount))
        await transaction.put(target, b"%d" % (int(other) + amount))

    await db.run_transaction(move, attempts=1000)


async def sum_of_accounts(db):
    async with db.transaction(read_only=True) as audit:
        return sum([int(balance) async for balance in audit.iterator(prefix=b"account/", include_key=False)])


async def main(directory: str) -> None:
    async with await aio.open(directory) as db:
        for account in ACCOUNTS:
            await db.put_if_absent(account, b"%d" % DEPOSIT)
        refused = 0

        async def client(seed):
            nonlocal refused
            chance = random.Random(seed)
            for _ in range(TRANSFERS):
                try:
                    await transfer(db, *chance.sample(ACCOUNTS, 2), chance.randrange(1, 60))
                except Refused:
                    refused += 1
                assert await sum_of_accounts(db) == DEPOSIT * len(ACCOUNTS)

        await asyncio.gather(*(client(seed) for seed in range(TASKS)))
        print(f"{TASKS * TRANSFERS} transfers, {refused} of them refused")
        print(f"{len(ACCOUNTS)} accounts with {await sum_of_accounts(db)} together")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            asyncio.run(main(scratch))
